"""Stages from a card to hardware that is verified and proved."""

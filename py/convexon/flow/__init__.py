"""Run folders, the one stage mechanism, and a module for each stage."""

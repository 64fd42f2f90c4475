"""Certificates, and a checker that trusts none of them and shares no code with the solver."""

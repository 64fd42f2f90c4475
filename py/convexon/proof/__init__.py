"""Certificates, and a checker that trusts none of them.

`Certificate` is the artefact certificate.json: the program's statement, the weights, the dual
vectors and every figure claimed. `check_file` recomputes the claims from the dictionary's file in
exact or directed-rounding arithmetic. This package imports nothing from `convexon.convex`, so an
error there cannot hide here; numpy and the standard library are all it needs.
"""

from convexon.proof.certificate import (
    CERTIFICATE,
    Certificate,
    PricedSet,
    Rounded,
    SampleMargins,
    UniversalBound,
    gap_above,
)
from convexon.proof.check import Verdict, check, check_file
from convexon.proof.columns import Columns
from convexon.proof.finding import Finding
from convexon.proof.statement import Statement

__all__ = [
    "CERTIFICATE",
    "Certificate",
    "Columns",
    "Finding",
    "PricedSet",
    "Rounded",
    "SampleMargins",
    "Statement",
    "UniversalBound",
    "Verdict",
    "check",
    "check_file",
    "gap_above",
]

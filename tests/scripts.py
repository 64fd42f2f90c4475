"""The scripts of examples/ and benchmarks/ as modules."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

from example import example as example  # noqa: E402
from hostile import HOSTILE as HOSTILE  # noqa: E402

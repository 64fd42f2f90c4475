"""The stages of the chain, each a function from artefacts to artefacts in a run folder.

The command line and the Python API call the same functions. Those that need hardware or a simulator
live in the packages above this one and are found by name, so that nothing is imported before it is
used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

STAGES: Mapping[str, str] = MappingProxyType(
    {
        "solve": "convexon.flow.solve:solve_stage",
        "study": "convexon.study.stage:study_stage",
        "baselines": "convexon.flow.baselines:baselines_stage",
        "map": "convexon.flow.map:map_stage",
        "emit": "convexon.flow.emit:emit_stage",
        "prove": "convexon.flow.prove:prove_stage",
        "verify": "convexon.flow.verify:verify_stage",
        "synthesize": "convexon.flow.synthesize:synthesize_stage",
        "build": "convexon.flow.build:build_stage",
        "project": "convexon.flow.build:project_stage",
        "energy": "convexon.flow.energy:energy_stage",
        "flash": "convexon.flow.flash:flash_stage",
        "run": "convexon.flow.measure:run_stage",
        "report": "convexon.report.stage:report_stage",
        "explore": "convexon.explore.stage:explore_stage",
    }
)
"""Where each stage's function is."""


def stage(name: str) -> Callable[..., Any]:
    """Return the function of the stage ``name``, imported now."""
    module, _, function = STAGES[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found

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
        "solve": "convexon.chain.solve:solve_stage",
        "study": "convexon.study.stage:study_stage",
        "baselines": "convexon.chain.compare:baselines_stage",
        "map": "convexon_hdl.map_chain:map_stage",
        "emit": "convexon_hdl.chain:emit_stage",
        "prove": "convexon_hdl.prove_chain:prove_stage",
        "verify": "convexon_sim.chain:verify_stage",
        "synthesize": "convexon_boards.chain:synthesize_stage",
        "build": "convexon_boards.build:build_stage",
        "project": "convexon_boards.build:project_stage",
        "energy": "convexon_boards.energy.stage:energy_stage",
        "flash": "convexon_boards.flash:flash_stage",
        "run": "convexon.link.measure:run_stage",
        "report": "convexon.chain.report:report_stage",
        "explore": "convexon.explore.stage:explore_stage",
    }
)
"""Where each stage's function is."""


def stage(name: str) -> Callable[..., Any]:
    """Return the function of the stage ``name``, imported now."""
    module, _, function = STAGES[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found

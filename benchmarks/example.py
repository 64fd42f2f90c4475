"""The examples as modules: their fits are what benchmarks measure, and some share their names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    """Import examples/NAME.py under a name of its own; its neighbours it finds by theirs."""
    full = f"example_{name}"
    if full not in sys.modules:
        if str(EXAMPLES) not in sys.path:
            sys.path.append(str(EXAMPLES))
        spec = importlib.util.spec_from_file_location(full, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]

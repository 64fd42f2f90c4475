"""Tools that come as wheels, each run in a process of its own, in a folder of its own.

The first run of a YoWASP tool after its installation compiles WebAssembly, and keeps the result in
the cache.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convexon.errors import MissingToolError
from convexon.tools.environment import require_cache
from convexon.tools.process import LONGEST_SECONDS, Ended, in_python
from convexon.tools.process import run as run_program
from convexon.tools.scratch import Scratch

_CHILD = """
import sys
from {module} import {function}
sys.exit({call})
"""


@dataclass(frozen=True)
class Wheel:
    """A tool in a wheel.

    Members
    -------
    distribution, module, function : str
        Where it is.
    takes_arguments : bool
        Whether the function takes the arguments, or reads ``sys.argv``.
    """

    distribution: str
    module: str
    function: str
    takes_arguments: bool = True

    @property
    def version(self) -> str:
        """Version of the distribution; `MissingToolError` if it is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            raise MissingToolError(
                f"{self.distribution} is not installed: pip install {self.distribution}"
            ) from None


def run(
    wheel: Wheel,
    arguments: Sequence[str],
    *,
    inputs: Mapping[str, bytes | str],
    outputs: Sequence[str] = (),
) -> tuple[Ended, dict[str, bytes]]:
    """Run a tool where ``inputs`` are; names have no folder, as YoWASP shows it another /tmp.

    Returns
    -------
    Ended, dict of str to bytes
        How it ended, and the outputs that it wrote.

    Raises
    ------
    MissingToolError
        If it is not installed.
    ToolError
        If it does not end, or the cache cannot be written.
    """
    if importlib.util.find_spec(wheel.module.partition(".")[0]) is None:
        raise MissingToolError(
            f"{wheel.distribution} is not installed: pip install {wheel.distribution}"
        )
    call = f"{wheel.function}({'sys.argv[1:]' if wheel.takes_arguments else ''})"
    child = _CHILD.format(module=wheel.module, function=wheel.function, call=call)
    cache = require_cache() / "yowasp"
    with Scratch() as folder:
        for file, content in inputs.items():
            (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
        ended = run_program(
            in_python(child, *arguments),
            name=wheel.function.removeprefix("run_"),
            folder=folder,
            variables={"YOWASP_CACHE_DIR": str(cache)},
            timeout=LONGEST_SECONDS,
        )
        there = [file for file in outputs if (folder / file).is_file()]
        files = {file: (folder / file).read_bytes() for file in there}
    return ended, files

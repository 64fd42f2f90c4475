"""The process that compiles and runs one simulation: ``python -m convexon_sim.bench.worker FILE``.

cocotb's runner changes its environment, leaves through SystemExit and writes to the console. A
process of its own keeps all that away from the caller, and lets simulation run beside other work.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from cocotb_tools.runner import get_runner

BUILT_MARK = "built"


def main(file: Path) -> None:
    """Build, unless the cache has it, and test, as the JSON in ``file`` says."""
    order: dict[str, Any] = json.loads(file.read_text())
    os.environ.update(order["environment"])
    os.environ["PATH"] = order["simulator_folder"] + os.pathsep + os.environ["PATH"]
    build_folder = Path(order["build_folder"])
    build_folder.mkdir(parents=True, exist_ok=True)
    runner = get_runner(order["simulator"])
    common = {
        "hdl_toplevel": order["top"],
        "build_dir": build_folder,
        "timescale": tuple(order["timescale"]),
    }
    with (build_folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs of one design build it once
        built = build_folder / BUILT_MARK
        if not built.exists():  # the mark comes last: a build that was cut off is done again
            _copy_objects(Path(order["runtime_folder"]), build_folder)
            runner.build(
                sources=[Path(order["verilog"])],
                always=True,
                build_args=order["build_arguments"],
                **common,
            )
            _copy_objects(build_folder, Path(order["runtime_folder"]))
            built.touch()
    runner.test(
        test_module="convexon_sim.bench.bench",
        hdl_toplevel_lang="verilog",
        test_dir=Path(order["test_folder"]),
        results_xml=str(Path(order["test_folder"]) / "results.xml"),
        extra_env=order["environment"],
        seed=order["seed"],
        **common,
    )


def _copy_objects(source: Path, target: Path) -> None:
    """Carry over Verilator's own runtime, which is the same for every design and takes longest.

    The objects are dated ahead, so that make takes them for newer than the makefile that is about
    to be written. A folder without them, or a simulator that has none, changes nothing.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in source.glob("verilated*.o"):
        if not (target / file.name).exists():
            partial = target / f"{file.name}.{os.getpid()}"
            shutil.copyfile(file, partial)
            ahead = time.time() + 3600
            os.utime(partial, (ahead, ahead))
            partial.replace(target / file.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Cone solvers as a second opinion: on a certificate, and in place of Convexon's own solver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli_bench import SMALL, invoke

from convexon import SpikingClassifier
from convexon.certify.certificate import CERTIFICATE
from convexon.flow.run import Run
from convexon.store.artefact import save
from toy import toy_arrays


@pytest.mark.parametrize("solver", ["clarabel", "scs"])
def test_a_cone_solver_agrees_with_the_certificate(solver: str, data: Path, tmp_path: Path) -> None:
    assert invoke("solve", tmp_path / "run", "--data", data, *SMALL).exit_code == 0
    found = invoke("certify", tmp_path / "run", "--resolve", solver)
    assert found.exit_code == 0, found.output
    assert f"resolve: {solver.upper()} finds the optimum" in found.stdout


def test_a_certificate_of_another_optimum_is_refused(data: Path, tmp_path: Path) -> None:
    folder = Run(tmp_path / "run")
    assert invoke("solve", folder.path, "--data", data, *SMALL).exit_code == 0
    made = folder.read("certificate", CERTIFICATE)
    statement = replace(made.value.statement, rho=made.value.statement.rho * 3)
    forged = replace(made.value, statement=statement)
    save(CERTIFICATE, forged, folder.file("certificate"), parents=made.record.parents)
    from convexon.convex.solvers.crosscheck import ConeSolver
    from convexon.errors import ClaimError
    from convexon.flow.network.resolve import resolve

    with pytest.raises(ClaimError, match="they differ"):
        resolve(folder, ConeSolver.CLARABEL)


def test_a_solver_that_is_none_is_refused(data: Path, tmp_path: Path) -> None:
    assert invoke("solve", tmp_path / "run", "--data", data, *SMALL).exit_code == 0
    found = invoke("certify", tmp_path / "run", "--resolve", "gurobi")
    assert found.exit_code == 2
    assert "--resolve must be one of clarabel, scs, not 'gurobi'" in found.stderr


def test_the_estimator_takes_a_cone_solver() -> None:
    features, labels = toy_arrays()
    options = {"witnesses": 40, "fan_in": 3, "steps": 4, "rho": (0.01,), "random_state": 0}
    own = SpikingClassifier(**options).fit(features, labels)
    other = SpikingClassifier(solver="clarabel", **options).fit(features, labels)
    primal = own.certificate_.certificate.primal
    assert other.certificate_.certificate.primal == pytest.approx(primal, rel=1e-5)
    assert other.certificate_.check()

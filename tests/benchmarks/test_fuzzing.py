"""The fuzzer: sound files pass, and a few hundred that are wrong are read or refused in a line."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

import scripts  # noqa: F401  (benchmarks are on the path then)

from fuzzing import Case, Fuzzer, readers, verdict, write_corpus  # isort: skip

N_FILES = 600


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def test_every_sound_file_is_read(corpus: Path) -> None:
    for kind, read in readers(corpus).items():
        if kind not in ("replies", "signing"):
            assert read(corpus / kind) is not None, kind


def test_changed_files_are_read_or_refused_in_a_line(corpus: Path, tmp_path: Path) -> None:
    fuzzer = Fuzzer(corpus, tmp_path / "work", seed=1)
    seen = set()
    cases = fuzzer.cases()
    for case in islice(cases, N_FILES):
        error = verdict(fuzzer, case)
        assert error is None, (case, error)
        seen.add(case.kind)
    assert seen >= set(fuzzer.readers) - {"sweep.toml"}
    cases.close()
    for path in (tmp_path / "work").rglob("*.json"):  # each is sound again after its turn
        if path.name != "signed.json":
            assert path.read_bytes() == (corpus / path.relative_to(tmp_path / "work")).read_bytes()


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), MemoryError(), KeyError(1)])
def test_an_error_of_another_kind_is_a_crash(
    corpus: Path, tmp_path: Path, error: Exception
) -> None:
    def fails(path: Path) -> None:
        raise error

    fuzzer = Fuzzer(corpus, tmp_path / "work", seed=1)
    fuzzer.readers["card.json"] = fails
    assert verdict(fuzzer, Case("card.json", corpus / "card.json")) is error

"""What a file may hold: names, numbers, shapes, depths and sizes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.data.loading import from_file
from convexon.errors import ArtefactError, ConvexonError, InputError
from convexon.store.archive import read_npz
from convexon.store.codec import from_json
from convexon.store.untrusted import (
    IDENTIFIER,
    LIMIT_VARIABLE,
    MAX_DEPTH,
    Amount,
    Count,
    Form,
    Share,
    Size,
    Within,
    limit_bytes,
    open_regular,
    parse_json,
    parse_toml,
    printable,
    read_text,
    require_identifier,
    require_line,
    require_plain,
)

UNSPOKEN = [
    "\x1b[31mred",
    "a\nb",
    "a\rb",
    "a\x00b",
    "\u202eabc",
    "\u2066a",
    "a\u2028b",
    "\x9b1m",
    "\ud800",
]
"""Texts that a terminal, or a reader, would take for something else than they are."""

# Texts


@pytest.mark.parametrize("text", UNSPOKEN)
def test_what_speaks_to_a_terminal_is_shown_as_an_escape(text: str) -> None:
    shown = printable(f"ä {text} 日本")
    assert shown.isprintable()
    assert "ä " in shown
    assert "日本" in shown
    with pytest.raises(InputError, match=r"^name must be one line of printable text, not '"):
        require_line(text, "name")


@given(st.text())
def test_any_text_becomes_printable_and_printable_text_stays(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@pytest.mark.parametrize("name", ["accelerator", "_a", "i__payload", "A9"])
def test_identifiers_pass(name: str) -> None:
    assert require_identifier(name, "top") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "9a",
        "a b",
        "a-b",
        "a.b",
        "a;b",
        "a\nexec -- touch x",
        "a\n",
        "$a",
        "\\a ",
        "ä",
        "a" * 300,
        "٣",
        5,
        None,
    ],
)
def test_what_is_no_identifier_reaches_no_script(name: Any) -> None:
    assert not IDENTIFIER.fits(name)
    with pytest.raises(InputError, match=r"^top must be an identifier of letters, digits and _"):
        require_identifier(name, "top")


# Values by their hints


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """A field of each kind of bound."""

    count: Count = 0
    size: Size = 1
    amount: Amount = 0.0
    share: Share = 0.0
    some: Annotated[int, Within(2, 5)] | None = None
    name: Annotated[str, Form("[a-z]+", "small letters")] = "a"
    text: str = ""
    whole: int = 0
    real: float = 0.0
    array: npt.NDArray[np.float64] | None = None


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("count", -1, "count must be 0 or more, not -1"),
        ("count", 1.5, "count must be an integer, not 1.5"),
        ("count", True, "count must be an integer, not True"),
        ("size", 0, "size must be 1 or more, not 0"),
        ("amount", -0.5, "amount must be 0 or more, not -0.5"),
        ("share", 1.5, "share must be 0 to 1, not 1.5"),
        ("share", float("nan"), "share must be a finite number, not nan"),
        ("some", 6, "some must be 2 to 5, not 6"),
        ("name", "A", "name must be small letters, not 'A'"),
        ("name", "a\n", "name must be one line of printable text, not .*"),
        ("text", "\x1b[2J", "text must be one line of printable text, not .*"),
        ("text", "x" * 20_000, "text must be text of at most 10000 characters, not 20000"),
        ("whole", 1 << 63, "whole must be an integer of 64 bits, not 9223372036854775808"),
        ("whole", ~(1 << 63), "whole must be an integer of 64 bits, not -9223372036854775809"),
        ("real", 10**400, "real must be an integer of 64 bits, not 1000.*"),
        ("real", float("inf"), "real must be a finite number, not inf"),
        ("array", [1.0, float("nan")], "array must hold finite numbers, not NaN or .*"),
        ("array", [-float("inf")], "array must hold finite numbers, not NaN or .*"),
    ],
)
def test_values_keep_to_their_bounds(member: str, value: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        from_json(Bounded, {member: value})
    assert re.fullmatch(message, str(caught.value)), caught.value


def test_bounds_themselves_pass() -> None:
    values = {"share": 1, "some": 5, "whole": (1 << 63) - 1, "amount": 0, "array": [1e308]}
    read = from_json(Bounded, values)
    assert (read.share, read.some, read.whole) == (1.0, 5, (1 << 63) - 1)


# JSON and TOML


def nested(depth: int, open_: str, close: str) -> str:
    return open_ * depth + close * depth


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 200_000])
@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_json_too_deep_is_one_line(depth: int, open_: str, close: str) -> None:
    inner = "1" if open_ != "[" else ""
    text = open_ * depth + inner + close * depth
    with pytest.raises(InputError, match=rf" must be nested at most {MAX_DEPTH} levels deep$"):
        parse_json(text)


@pytest.mark.parametrize("value", ["[]", "{}", "0.5", '"ab"'])
def test_json_of_too_many_values_is_refused_before_they_take_memory(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    most = 1_000_000 // 16 // 16
    parse_json(f"[{','.join([value] * (most // 2))}]")
    with pytest.raises(InputError, match=f"at most {most:,} values: raise {LIMIT_VARIABLE}$"):
        parse_json(f"[{','.join([value] * (most + 1))}]")


def test_json_of_the_allowed_depth_passes() -> None:
    require_plain(parse_json(nested(MAX_DEPTH, "[", "]")))


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 70 + "]" * 70,
        "x = " + "[" * 20_000,
        ".".join("a" * 90) + " = 1",
        ".".join("a" * 50_000) + " = 1",
        "x = " + "{a = " * 90,
    ],
)
def test_toml_too_deep_is_refused_at_once(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"."):
        parse_toml(text)
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "text",
    [
        'x = "a\\nb"',
        'x = "\\u202Ea"',
        '"a\\u001bb" = 1',
        "x = ['a', {b = \"\\t\"}]",
        "x = 0x" + "f" * 9000,
    ],
)
def test_toml_of_unspoken_text_or_endless_numbers_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r" must (be|have) "):
        parse_toml(text)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    assert parse_toml(read_text(tmp_path / "a.toml")) == {"x": 1}


# Files


def a_pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (a_pipe, "it is no regular file"),
        (lambda path: Path("/dev/zero"), "it is no regular file"),
        (lambda path: path.parent, "Is a directory"),
        (lambda path: path / "none", "No such file or directory"),
    ],
)
def test_only_regular_files_are_read_and_none_is_waited_for(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    path = make(tmp_path / "file")
    began = time.monotonic()
    for read in (open_regular, read_text, lambda p: read_npz(p, ["a"])):
        with pytest.raises(OSError, match=r".") as caught:
            read(path)
        assert re.fullmatch(reason, str(caught.value.strerror))
    with pytest.raises(ArtefactError, match=r" give an npz with features, series, spikes "):
        from_file(path)
    assert time.monotonic() - began < 2.0


def test_the_limit_can_be_lowered_and_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(path, features=rng.random((600, 250)), labels=np.arange(600) % 2)
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    with pytest.raises(
        ArtefactError, match=rf"over the limit of 1,000,000: raise {LIMIT_VARIABLE}"
    ):
        from_file(path)
    monkeypatch.setenv(LIMIT_VARIABLE, "3")
    assert from_file(path).n_samples == 600
    for wrong in ("0", "-1", "1.5", "much", "1" * 30, "٣"):
        monkeypatch.setenv(LIMIT_VARIABLE, wrong)
        with pytest.raises(InputError, match=rf"^{LIMIT_VARIABLE} must be a number of megabytes"):
            limit_bytes()


# Archives of arrays


def archive(path: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return path


def member(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array)
    return out.getvalue()


def declared(descr: str, shape: str, data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "content",
    [
        declared("'<f8'", "(10000000000,)"),  # 80 GB that are not there
        declared("'<f8'", "(3,)", bytes(16)),
        declared("'<f8'", "(3,)", bytes(32)),
        declared("'|U0'", "(1000000000000,)"),  # no bytes at all, and endless elements
        declared("'|V0'", "(99999999999999999999,)"),
        declared("'|O'", "(1,)", b"cos\nsystem\n(S'true'\ntR."),
        declared("[('a', '<f8')]", "(2,)", bytes(8)),
        declared("'<f8'", "(-1,)"),
        declared("'<f8'", "(True,)", bytes(8)),
        declared("'<f8'", "(1.0,)", bytes(8)),
        declared("'<f8'", "(1,) * 5", bytes(8)),
        declared("'<f8'", "(" * 90),
        declared("'<f8'", "(" + "1," * 40 + ")", bytes(8)),
        declared("'<f8'", "(1,)", bytes(8))[:20],
        b"\x93NUMPY\x03\x00" + declared("'<f8'", "(1,)", bytes(8))[8:],
        b"",
        b"PK\x03\x04",
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays_that_are_none_are_refused_before_room_is_made(
    tmp_path: Path, content: bytes, method: int
) -> None:
    path = archive(tmp_path / "a.npz", method, features=content)
    with pytest.raises(ValueError, match=r".") as caught:
        read_npz(path, ["features"])
    assert str(caught.value).isprintable()
    with pytest.raises(ArtefactError, match=r"a\.npz is not a readable npz file: "):
        from_file(path)


def test_what_inflates_beyond_the_limit_is_not_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(
        tmp_path / "a.npz", features=member(np.zeros((1000, 500))), labels=member(np.zeros(1000))
    )
    assert path.stat().st_size < 20_000
    monkeypatch.setenv(LIMIT_VARIABLE, "3")
    read = np.lib.format.read_array
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("was unpacked"))
    with pytest.raises(
        ArtefactError, match=r"take more than 3,000,000 bytes: raise CONVEXON_LIMIT_MB$"
    ):
        from_file(path)
    monkeypatch.setattr(np.lib.format, "read_array", read)
    monkeypatch.setenv(LIMIT_VARIABLE, "5")
    assert from_file(path).n_samples == 1000


def test_an_archive_of_too_many_files_is_refused_before_they_are_listed(tmp_path: Path) -> None:
    few = archive(tmp_path / "few.npz", **{f"file{k}": b"" for k in range(10_000)})
    assert read_npz(few, ["x"]) == {}
    many = archive(tmp_path / "many.npz", **{f"file{k}": b"" for k in range(25_000)})
    with pytest.raises(ValueError, match="its list of files is too long"):
        read_npz(many, ["x"])


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_what_numpy_packs_is_unpacked(tmp_path: Path, method: int) -> None:
    path = archive(tmp_path / "a.npz", method, features=member(np.zeros((1000, 500))))
    with pytest.raises(ValueError, match=r"^features\.npy is packed in another way than deflated$"):
        read_npz(path, ["features"])


@pytest.mark.parametrize("size", [0, 1, 100, 1 << 20, (1 << 32) - 1])
@pytest.mark.parametrize("place", [20, 24])
def test_a_directory_that_lies_of_sizes_is_refused(tmp_path: Path, size: int, place: int) -> None:
    path = archive(tmp_path / "a.npz", features=member(np.arange(1000.0).reshape(100, 10)))
    data = bytearray(path.read_bytes())
    entry = data.rfind(b"PK\x01\x02") + place
    data[entry : entry + 4] = size.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(ConvexonError, match=r"a\.npz is "):
        from_file(path)


@given(st.integers(0, 700), st.binary(max_size=8))
def test_any_changed_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, new: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.npz"
    archive(path, features=member(np.eye(3)), labels=member(np.arange(3)))
    data = bytearray(path.read_bytes())
    data[place : place + len(new)] = new
    path.write_bytes(bytes(data))
    with contextlib.suppress(ConvexonError):
        assert from_file(path).values.dtype.kind in "biuf"

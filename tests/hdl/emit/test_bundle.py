"""The RTL bundle: every change of a file is noticed."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from convexon.errors import ArtefactError, InputError
from convexon.store import artefact
from convexon.store.artefact import canonical
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.described import require_names
from convexon_hdl.emit.scan import require_inert


def stream(name: str) -> dict[str, Any]:
    field = {"name": "inputs", "offset": 0, "width": 1, "count": 6, "signed": False}
    parts = {part: f"{name}__{part}" for part in ("payload", "valid", "ready")}
    return {**parts, "width": 6, "fields": [field]}


PORTS: dict[str, Any] = {
    "schema": "convexon.ports",
    "schema_version": 2,
    "top": "accelerator",
    "clock": "clk",
    "reset": "rst",
    "streams": {"i": stream("i"), "o": stream("o")},
    "transfers_per_inference": 4,
    "decision": {"rule": "end", "threshold": None},
    "probes": [
        {
            "kind": "registers",
            "branch": 0,
            "layer": 0,
            "valid": ["stage0", "o__valid"],
            "ready": ["stage0", "o__ready"],
            "spikes": {"path": ["stage0", "spikes"], "width": 1, "count": 5},
            "membranes": {"path": ["stage0", "membranes"], "width": 7, "count": 5},
        }
    ],
    "components": {},
    "host": "streams",
}
BUNDLE = RtlBundle(
    top="accelerator",
    verilog="module accelerator;\nendmodule\n",
    ports=PORTS,
    tools={"yosys": "0.70"},
    parents={"card": "sha256:" + "01" * 32},
    others={"accelerator.vhd": "package accelerator_pkg is\n", "registers.json": "{}\n"},
)
NAMES = ["accelerator.v", "ports.json", "manifest.json", "accelerator.vhd", "registers.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder that holds the bundle."""
    BUNDLE.write(tmp_path / "rtl")
    return tmp_path / "rtl"


def refuses(folder: Path, message: str) -> None:
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}"):
        RtlBundle.read(folder)


def test_folder_holds_the_bundle_unchanged(folder: Path) -> None:
    again = RtlBundle.read(folder)
    assert vars(again) == vars(BUNDLE)
    assert again.digest == BUNDLE.digest
    assert sorted(file.name for file in folder.iterdir()) == [
        "accelerator.v",
        "accelerator.vhd",
        "manifest.json",
        "ports.json",
        "registers.json",
    ]


def test_same_bundle_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    RtlBundle.read(folder).write(tmp_path / "again")
    for file in folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"top": "other"},
        {"verilog": "module accelerator; endmodule\n"},
        {"ports": {}},
        {"tools": {"yosys": "0.71"}},
        {"parents": {"card": "sha256:" + "02" * 32}},
        {"others": {}},
        {"others": {**BUNDLE.others, "registers.json": "{ }\n"}},
    ],
)
def test_digest_covers_every_member(change: dict[str, Any]) -> None:
    assert RtlBundle(**{**vars(BUNDLE), **change}).digest != BUNDLE.digest


@pytest.mark.parametrize("name", NAMES)
def test_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refuses(folder, f"{folder / name} ")


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_is_refused(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes().rstrip()
    for length in range(0, len(whole), 3):
        (folder / name).write_bytes(whole[:length])
        refuses(folder, f"{folder / name} ")


def test_edited_verilog_is_refused(folder: Path) -> None:
    with (folder / "accelerator.v").open("a") as stream:
        stream.write("// harmless\n")
    refuses(folder, f"{folder / 'accelerator.v'} does not match manifest.json: it was changed; ")


def test_edited_ports_are_refused(folder: Path) -> None:
    (folder / "ports.json").write_text('{"schema": "convexon.ports", "probes": []}')
    refuses(folder, f"{folder / 'ports.json'} does not match manifest.json: it was changed; emit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": {}}, "manifest.json does not match its digest: emit it again"),
        ({"top": "other"}, "manifest.json does not match its digest: emit it again"),
        ({"digest": "sha256:00"}, "manifest.json does not match its digest: emit it again"),
        (
            {"schema_version": 1},
            "manifest.json must have convexon.rtl version 2, not 'convexon.rtl' version 1: emit it",
        ),
        (
            {"schema": "convexon.card"},
            "manifest.json must have convexon.rtl version 2, not 'convexon.card' version 2: emit",
        ),
    ],
)
def test_edited_manifest_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_bytes(canonical({**manifest, **change}))
    refuses(folder, f"{folder}/{message}")


@pytest.mark.parametrize("field", ["top", "tools", "parents", "digest", "files"])
def test_manifest_that_lacks_or_garbles_a_field_is_refused(folder: Path, field: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    garbled = {**manifest, field: 5}
    del manifest[field]
    for content in (manifest, garbled):
        (folder / "manifest.json").write_bytes(canonical(content))
        refuses(folder, str(folder))


def test_parents_of_a_manifest_are_named_by_digests(folder: Path) -> None:
    refuses(forged(folder, parents={"card": "sha256:01"}), f"{folder} holds a garbled bundle")


@pytest.mark.parametrize("text", ["[]", "3", '{"a": '])
def test_ports_that_are_no_object_are_refused(folder: Path, text: str) -> None:
    (folder / "ports.json").write_text(text)
    refuses(folder, f"{folder / 'ports.json'} ")


def test_binary_verilog_is_refused(folder: Path) -> None:
    (folder / "accelerator.v").write_bytes(b"\xff\xff")
    refuses(folder, f"{folder / 'accelerator.v'} cannot be read: emit it again")


def test_interrupted_write_is_never_taken_for_a_bundle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = RtlBundle(**{**vars(BUNDLE), "verilog": "// new\n", "ports": {"new": True}})
    replace = os.replace
    for done in range(5):
        calls = iter(range(done))

        def fails_at_last(source: str, target: Path, calls: Any = calls) -> None:
            if next(calls, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(artefact.os, "replace", fails_at_last)
            with pytest.raises(ArtefactError, match=r" cannot be written: No space left on device"):
                changed.write(folder)
        assert len(list(folder.iterdir())) == 5
        if done == 0:
            assert RtlBundle.read(folder).digest == BUNDLE.digest
        else:
            refuses(folder, f"{folder}/")


@pytest.mark.parametrize("name", ["../escape.v", "a/b.v", "", ".hidden", "accelerator.v", 5])
def test_file_outside_the_folder_is_refused(folder: Path, name: Any) -> None:
    with pytest.raises(ArtefactError, match=r"^file of a bundle must have a plain name, not "):
        RtlBundle(**{**vars(BUNDLE), "others": {name: "text"}})


@pytest.mark.parametrize("name", ["../escape.v", "a/b.v", ".hidden"])
def test_manifest_that_lists_a_file_elsewhere_is_refused(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = "0" * 64
    (folder / "manifest.json").write_bytes(canonical(manifest))
    refuses(folder, f"{folder} holds a garbled bundle: emit it again")


def test_files_of_an_earlier_bundle_go_and_others_stay(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    RtlBundle(**{**vars(BUNDLE), "others": {"registers.json": "{}\n"}}).write(folder)
    assert not (folder / "accelerator.vhd").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert RtlBundle.read(folder).others == {"registers.json": "{}\n"}


# Bundles that someone else wrote, with digests that fit


def forged(folder: Path, **changes: Any) -> Path:
    """Write a bundle with other members, unchecked, so that hashes and digest are right."""
    bundle = RtlBundle.__new__(RtlBundle)
    vars(bundle).update({**vars(BUNDLE), **changes})
    bundle.write(folder)
    return folder


NO_NAMES = [
    "accelerator\nexec -- touch x",
    "accelerator; exec -- touch x",
    "a b",
    "a)b",
    "a$(touch x)",
    "\\a ",
    "",
    "\x1b[2J",
    "\u202ea",
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_top_that_is_no_identifier_is_refused(folder: Path, name: str) -> None:
    forged(folder, top=name, ports={**PORTS, "top": name})
    refuses(folder, str(folder))
    with pytest.raises(InputError, match=r"^top of a bundle must be an identifier of letters, "):
        RtlBundle(**{**vars(BUNDLE), "top": name})


def changed(keys: tuple[Any, ...], value: object) -> dict[str, Any]:
    """The ports with another value at a place."""
    ports: dict[str, Any] = json.loads(json.dumps(PORTS))
    place: Any = ports
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return ports


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize(
    "keys",
    [
        ("clock",),
        ("reset",),
        ("streams", "i", "payload"),
        ("streams", "o", "ready"),
        ("probes", 0, "valid", 1),
        ("probes", 0, "membranes", "path", 0),
    ],
)
def test_a_port_that_is_no_identifier_is_refused(
    folder: Path, keys: tuple[Any, ...], name: str
) -> None:
    ports = changed(keys, name)
    refuses(forged(folder, ports=ports), str(folder))
    with pytest.raises(InputError, match=r" of ports\.json must be an identifier of letters, "):
        require_names(ports)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("streams", "i", "width"), 0),
        (("streams", "i", "width"), 1 << 40),
        (("streams", "i", "width"), "7:0] x; initial $system(1); wire [7"),
        (("streams", "i", "width"), 3),
        (("streams", "i", "fields", 0, "count"), 7),
        (("streams", "i", "fields", 0, "offset"), -1),
        (("streams", "i", "fields", 0, "width"), 65),
        (("streams", "x"), {}),
        (("streams",), {"i": stream("i")}),
        (("transfers_per_inference",), 1.5),
        (("probes", 0, "spikes", "count"), -5),
        (("probes", 0, "kind"), "others"),
        (("decision",), {"rule": "never"}),
        (("host",), "axi64; exec"),
        (("top",), "another"),
        (("weights",), {}),
        (("schema_version",), 3),
        (("extra",), 1),
    ],
)
def test_ports_that_describe_no_accelerator_are_refused(
    folder: Path, keys: tuple[Any, ...], value: object
) -> None:
    refuses(forged(folder, ports=changed(keys, value)), f"{folder} holds a ")


@pytest.mark.parametrize("name", ["manifest.json", "ports.json"])
@pytest.mark.parametrize("depth", [100, 900, 200_000])
def test_brackets_without_end_are_one_line(folder: Path, name: str, depth: int) -> None:
    (folder / name).write_text("[" * depth + "]" * depth)
    refuses(folder, f"{folder / name} is damaged: content must be nested at most 64 levels deep")


EVIL = [
    'initial $system("touch x");',
    'initial $c("system(0);");',
    "initial $c1;",
    'initial $readmemh("/etc/passwd", m);',
    'initial $fopen("x");',
    "initial $display(1);",
    "initial $ system;",
    '`include "/etc/passwd"',
    "`define x",
    "`systemc_header",
    'import "DPI-C" function int system(input string s);',
    'export "DPI-C" task t;',
    "bind a b c();",
    'library l "/etc/*";',
    "/* verilator public */",
    "// synthesis translate_off",
    "// synopsys translate_off",
    "// cadence translate_off",
    "/*cadence translate_off*/",
    "// ambit synthesis translate_off",
    "//\tAltera message_off 10230",
    "// xilinx synthesis_off",
    "/* rtl_synthesis off */",
    "// a tool of ours: TRANSLATE_OFF",
    "/*\n * translate_on */",
    "// verilator_config",
    "// verilator lint_off WIDTH // more",
    "/* verilator lint_off WIDTH */",
    "// verilator lint_on WIDTH",
    "(* blackbox *)",
    "/* never closed",
    '"never closed',
    "\\escaped`name ",
    "// \x1b[2J",
    "é",
]


@pytest.mark.parametrize("line", EVIL)
@pytest.mark.parametrize("name", ["accelerator.v", "accelerator_axi.v"])
def test_verilog_that_does_more_than_describe_a_circuit_is_refused(
    folder: Path, line: str, name: str
) -> None:
    text = f"// a comment\nmodule accelerator;\n{line}\nendmodule\n"
    changes = {"verilog": text} if name == "accelerator.v" else {"others": {name: text}}
    told = f"{folder} holds a foreign bundle: {name} must describe a circuit and nothing else: line"
    refuses(forged(folder, **changes), told)


def test_words_that_only_look_like_a_system_task_pass() -> None:
    require_inert(
        "// verilator lint_off WIDTHEXPAND\n/* $system */ // `include\n"
        'wire \\i__payload$13.first , a$system, includes; parameter s = "$system `x";\n'
        "assign a = $signed(b) + $unsigned(8'hff) / 2; always @(*) c = d * (e);\n",
        "design",
    )

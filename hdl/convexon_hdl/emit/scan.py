"""A scan of Verilog that came from a file, before any tool reads it.

Simulators run what a design asks of the system: commands, files, C. What is emitted asks for none
of it, so that a text which does, in whatever way, is refused whole. So is one that speaks to a tool
past the language: by directives, attributes or comments that make tools read it differently.
"""

from __future__ import annotations

import re

from convexon.errors import InputError

_SYSTEM = frozenset({"$signed", "$unsigned"})
"""All of Verilog's system functions that an emitted design needs: they convert."""

_WORDS = frozenset({"bind", "export", "import", "include", "library"})
"""Keywords that reach another file, or C."""

_READERS = (
    "altera|ambit|cadence|coverage|exemplar|leda|pragma|quartus|rtl_synthesis|spyglass|surefire"
    "|synopsys|synthesis|synplify|verilator(?! lint_off [A-Z]+$)|vcs|vivado|xilinx"
)
_SPOKEN = re.compile(
    rf"/[/*]\W*(?:{_READERS})|.*?(?:translate_o(?:n|ff)|lint_checking)", re.I | re.S
)
"""A comment that a tool reads: it begins with the tool's name, or holds what several obey."""

_TOKEN = re.compile(
    r"""
      (?P<comment> //[\t\ -~]*+ | /\*(?:[\t\n\ -)+-~]|\*(?!/))*+\*/ )
    | (?P<system>  \$[A-Za-z0-9_$]++ )
    | (?P<word>    [A-Za-z_][A-Za-z0-9_$]*+ )
    | (?P<rest>    \\[A-Za-z0-9_$.:\[\]-]++(?=\s) | "(?:[\ !\#-\[\]-~]|\\[\ -~])*+"
                   | (?:[\t\n\ 0-9!\#%&')*+,\-.:;<=>?@\[\]^{|}~]
                   | /(?![/*]) | \((?!\*(?!\)))  )++ )
    """,
    re.VERBOSE | re.ASCII,
)
"""A token, or several that are harmless; no directive, attribute, or character beyond ASCII."""


def require_inert(verilog: str, where: str) -> None:
    """Raise `InputError` naming the line if Verilog does more than describe a circuit."""
    place = 0
    while place < len(verilog):
        token = _TOKEN.match(verilog, place)
        kind = None if token is None else token.lastgroup
        text = verilog[place] if token is None else token[0]
        if (
            kind is None
            or (kind == "system" and text not in _SYSTEM)
            or (kind == "word" and text in _WORDS)
            or (kind == "comment" and _SPOKEN.match(text))
        ):
            line = verilog.count("\n", 0, place) + 1
            raise InputError(
                f"{where} must describe a circuit and nothing else: line {line} has {text[:40]!r}"
            )
        place += len(text)

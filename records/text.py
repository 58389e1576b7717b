"""Text as it is compared and as it is shown: composed, on one line, printable, listed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

# Escape sequences as terminals know them: CSI, also where its first sign is written out; then OSC and its like with
# their text; then two-character ones.
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\\x1b\[[0-9;]*[A-Za-z]|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)
# Control characters but for the tab and the line break; characters that turn the direction of what follows; halves of
# surrogate pairs, which no encoding has.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def composed(text: str) -> str:
    """The text with every letter and its accents as one character, where there is one."""
    return unicodedata.normalize("NFC", text)


def printable(text: str) -> str:
    """Without terminal codes, and with nothing that a line of text cannot hold; tabs and line breaks stay."""
    return _UNPRINTABLE.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def escaped(text: str) -> str:
    """With terminal codes, line breaks and all else that cannot be printed written out: a code as its number."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def one_line(said: object, longest: int | None = None) -> str:
    """A text, or what an exception says, with its spaces and line breaks closed up; cut to so many characters."""
    try:
        text = str(said)
    except Exception:
        text = "(its message cannot be shown)"
    return " ".join(text.split())[:longest]


def reason(error: BaseException, longest: int = 300) -> str:
    """Why something failed, in one line and without the exception's type: of the system's errors what the system says,
    and never nothing."""
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror, longest)
    text = one_line(error, longest)
    return f"unknown value or missing key {text}" if isinstance(error, KeyError) else text or type(error).__name__


def described(error: BaseException, file: Path | None = None) -> str:
    """An exception in one line, its type included; with where in `file` it was raised, if it was."""
    found = f"{type(error).__name__}: {one_line(error)}".removesuffix(": ")
    trace, line = error.__traceback__, None
    while trace is not None:
        if file is not None and trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{found} (line {line})" if line else found


def listing(items: Sequence[str]) -> str:
    """As in "a, b and c"; of nothing "none"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"

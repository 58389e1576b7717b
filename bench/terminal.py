"""What the command says arrives, in whatever encoding, as long as somebody reads it."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys

# What we say ourselves and ASCII has no sign for. Of data, the code says more than a question mark.
SIGNS = {"·": "-", "…": "...", "×": "x", "→": "->", "−": "-", "–": "-", "±": "+/-", "≥": ">=", "≤": "<=", "━": "-"}


def prepare() -> None:
    """Before anything is printed. A descriptor that was closed is opened again, on nothing: else the next file that is
    opened would have its number, and be printed into."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    codecs.register_error("bench.signs", _sign)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bench.signs")


def flush() -> None:
    """Raises BrokenPipeError where nobody reads any more."""
    if sys.stdout is not None:
        sys.stdout.flush()


def hush() -> None:
    """What is still to be said is said to nobody."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _sign(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    instead = []
    for character in error.object[error.start : error.end]:
        plain = SIGNS.get(character)
        instead.append(plain or character.encode("ascii", "backslashreplace").decode())
    return "".join(instead), error.end

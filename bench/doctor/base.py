"""One line of what is found, and how it is found without ever failing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from records.redaction import redacted
from records.text import described, one_line

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Line:
    """What was found of a subject, and the command that gets what is `missing`; of a `note` nothing has to be done.
    Without what is `needed`, `make bench` does not run."""

    subject: str
    said: str
    state: State = "ok"
    mend: str = ""
    needed: bool = False


Probe = Callable[[], Iterable[Line]]


def looked(subject: str, probe: Probe) -> list[Line]:
    """What a probe finds. Whatever goes wrong with it is a line, in which no secret stands."""
    try:
        found = list(probe())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        found = [Line(subject, f"could not be looked at: {described(error)}", "note")]
    return [Line(each.subject, redacted(one_line(each.said)), each.state, each.mend, each.needed) for each in found]


def output_of(*command: str, seconds: float = 5) -> str | None:
    """The first line of what a program prints, None where it is not there, fails or takes longer."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else None

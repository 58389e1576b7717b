"""`bench doctor`: one screen on what there is, and what to do about what there is not."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.doctor.base import Line, Probe

MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}
STYLES = {"ok": "green", "note": "yellow", "missing": "red"}


def add_command(commands: Any) -> None:
    """To the parser of the command line."""
    said = "what this machine has to run and report with, and the commands that get what is missing"
    doctor = commands.add_parser("doctor", help=said)
    doctor.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    lines = look()
    if sys.stdout.isatty():
        _draw(lines)
    else:
        for line in lines:
            print(f"{MARKS[line.state]:8} {line.subject:14} {line.said}")
            if line.mend:
                print(f"{'':8} {'':14} to get it: {line.mend}")
    needed = [line.subject for line in lines if line.needed and line.state == "missing"]
    if needed:
        print(f"`make bench` needs what is missing: {', '.join(dict.fromkeys(needed))}")
    return 1 if needed else 0


def _draw(lines: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for line in lines:
        table.add_row(Text(MARKS[line.state], STYLES[line.state]), line.subject, Text(line.said))
        if line.mend:
            table.add_row("", "", Text(f"to get it: {line.mend}"))
    Console().print(table)


def look() -> list[Line]:
    """All that is found."""
    from bench.doctor.base import looked

    return [line for subject, probe in _probes() for line in looked(subject, probe)]


def _probes() -> Iterator[tuple[str, Probe]]:
    from bench.doctor import hub, machine, software

    yield "system", machine.system
    yield "processor", machine.processor
    yield "memory", machine.memory
    yield "device", software.device
    yield "disks", machine.disks
    yield "command", software.command
    yield "packages", software.packages
    yield "backbones", software.carried
    yield "programs", software.programs
    yield "hub", hub.access
    yield "default suite", _default_suite


def _default_suite() -> Iterator[Line]:
    """What `make bench` will take here, as `bench plan` says it."""
    from bench import plan_lines
    from bench.doctor.base import Line

    said = plan_lines.of_file("embedded", None, None)
    for line in said:
        if line.startswith(("embedded:", "time:", "disk:")):
            yield Line("make bench", line.removeprefix("embedded: "))

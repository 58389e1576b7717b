"""The command `bench`."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import shlex
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from bench import (
    __version__,
    cluster,
    estimate_table,
    evidence,
    exchange,
    listing,
    new,
    places,
    sharing,
    terminal,
    watching,
)
from bench.checks import commands as check_commands
from bench.doctor import commands as doctor_commands
from bench.durations import seconds_of
from bench.export import commands as export_commands
from bench.folders import UsageError, cell_of, expanded, path_of, results_of, store_of, usable_folder
from bench.previewing import commands as preview_commands
from bench.tracking import TRACKERS
from bench.tuning import commands as tuning_commands
from records.record import Record, left_out
from records.store import ResultsError
from records.text import printable


def main() -> None:
    """Carries out what the command line asks for, and exits with its status."""
    terminal.prepare()
    # Libraries leave little garbage and a great many objects, among which to look for it takes long.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    arguments = _parser().parse_args()
    # A polite kill ends a run as a second Ctrl-C does: workers stopped, finished cells kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = arguments.command(arguments)
        terminal.flush()
        sys.exit(status)
    except BrokenPipeError:  # whoever read this, such as `head`, has read enough
        terminal.hush()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; finished cells are kept, and the same command goes on from there")
    except (ResultsError, UsageError) as error:
        sys.exit(f"bench: {error}")
    except OSError as error:  # a disk that is full, a folder that may not be written
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"bench: {place}{error.strerror or error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="A benchmark of parameter-efficient fine-tuning.")
    parser.add_argument("--version", action="version", version=f"adaptbench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the cells of a suite that have no result yet")
    run.add_argument("suite", nargs="?", default="embedded", help="a built-in suite's name, or the path of a YAML file")
    run.add_argument("--results", type=path_of, help="folder of the results (default: results/<suite>)")
    places.add_options(run, _positive)
    limit = "how long a cell may train, and be profiled, as in '90 min' or '2 h'; 'none' is without end (default: 12 h)"
    run.add_argument("--time-limit", type=_length_of_time, help=limit)
    tracker = f"hand histories, scores and costs to a tracker: {', '.join(TRACKERS)}; may be repeated"
    run.add_argument("--tracker", action="append", choices=TRACKERS, default=[], metavar="NAME", help=tracker)
    cluster.add_options(run)
    run.set_defaults(command=_run)

    plan = commands.add_parser("plan", help="what a suite will take, and which differences it can show")
    plan.add_argument(
        "suite", nargs="?", default="embedded", help="a built-in suite's name, or the path of a YAML file"
    )
    plan.add_argument("--results", type=path_of, help="finished cells to judge by (default: results/<suite>)")
    plan.add_argument("--slots", type=_positive, help="cells at a time (default: as `bench run` would)")
    plan.set_defaults(command=_plan)

    preview_commands.add_command(commands, _positive)
    watching.add_command(commands)
    listing.add_command(commands)
    cluster.add_commands(commands)
    tuning_commands.add_commands(commands, _positive, _length_of_time)
    evidence.add_commands(commands)
    exchange.add_commands(commands)
    estimate_table.add_command(commands)
    export_commands.add_commands(commands)
    sharing.add_commands(commands)
    doctor_commands.add_command(commands)
    new.add_command(commands)
    check_commands.add_command(commands, _length_of_time)

    show = commands.add_parser("show", help="a cell's record")
    show.add_argument("cell", help="its id, or the beginning of it")
    show.add_argument("--results", type=path_of, help="where to look (default: every folder under results/)")
    show.set_defaults(command=_show)

    report = commands.add_parser("report", help="render a results folder as LaTeX, PDF and a web page")
    report.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    report.add_argument("other", nargs="?", help="a second one, to be set beside the first")
    report.add_argument("--output", type=path_of, help="folder of the report (default: report/ in the results folder)")
    _document_options(report)
    report.set_defaults(command=_report)

    slides = commands.add_parser("slides", help="render a results folder as slides for a talk of 15 minutes")
    slides.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    slides.add_argument("--output", type=path_of, help="folder of the slides (default: slides/ in the results folder)")
    _document_options(slides)
    slides.set_defaults(command=_slides)
    return parser


def _document_options(parser: argparse.ArgumentParser) -> None:
    from reports.model.topics import names  # takes no heavy import

    said = f"what it is about: {', '.join(names())}, or one of your template's own (default: all)"
    parser.add_argument("--topic", default="all", help=said)
    parser.add_argument(
        "--template", type=path_of, help="your own .cls or .sty, or a folder with one or with templates"
    )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not int(text):
        raise argparse.ArgumentTypeError(f"takes a whole number from 1, not {text!r}")
    return int(text)


def _length_of_time(text: str) -> str:
    try:
        seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _run(arguments: argparse.Namespace) -> int:
    from bench.suite import SuiteError
    from bench.tracking import TrackedDisplay

    here = Path.cwd()
    try:
        _begin_workers(arguments)
        suite = cluster.read_suite(arguments)
    except SuiteError as error:
        raise UsageError(str(error)) from None
    os.chdir(here)  # from where paths are seen, wherever a plugin has gone
    from bench import running  # takes half a second, in which the server is at work already

    suite = None if suite is None else running.searched(suite, arguments)
    if suite is None or arguments.dry_run:
        return cluster.dry_run(arguments, suite)
    store = running.folder_of(suite, arguments)
    for note in suite.notes():
        print(f"note: {note}")
    with TrackedDisplay() as display:
        records, left = running.carry_out(suite, arguments, store, display)
    if said := watching.of_precisions(records):
        print(said)
    lacking = _lacking(records, bool(suite.file.profile))
    if lost := left_out(suite.left_out):
        lacking.append(f"{len(lost)} left out, as {lost[0]}")
    if left:
        lacking.append(f"stopped with {left} cells open: the same command goes on from there")
    print(f"results: {store.root}" + (f" ({'; '.join(lacking)})" if lacking else ""))
    print(f"next: bench report {shlex.quote(str(store.root))}")
    return 1 if lacking else 0


def _begin_workers(arguments: argparse.Namespace) -> None:
    """The process from which they are forked imports what they need while the suite is read. Raises SuiteError."""
    from bench.launchers import forking
    from bench.suite import find

    name = find(arguments.suite).stem
    if arguments.launcher == "local" and find_spec("torch"):
        with suppress(OSError):  # tried again, with patience, when there is work
            forking.begin(results_of(name, arguments.results))


def _plan(arguments: argparse.Namespace) -> int:
    from bench import plan_lines
    from bench.suite import SuiteError

    try:
        said = plan_lines.of_file(arguments.suite, arguments.results, arguments.slots)
    except SuiteError as error:
        raise UsageError(str(error)) from None
    for line in said:
        print(line)
    return 0


def _lacking(records: list[Record], profiles: bool) -> list[str]:
    """What a run has not brought about, in words; with it, the command fails."""
    lacking = []
    if failed := sum(record.status == "failed" for record in records):
        lacking.append(f"{failed} of {len(records)} cells failed")
    # Without a reason a profile is to come yet: its cell is among those that are open.
    if unprofiled := [record for record in records if record.status == "trained" and record.reason and profiles]:
        lacking.append(f"{len(unprofiled)} without a cost profile, as {unprofiled[0].id}: {unprofiled[0].reason}")
    return lacking


def _console() -> Console:
    """In a file or a pipe, lines must not break at the width of a terminal that is not there."""
    return Console(width=None if sys.stdout.isatty() else 200)


def _show(arguments: argparse.Namespace) -> int:
    store, record = cell_of(arguments.cell, arguments.results)
    console = _console()
    console.print(printable(f"{record.cell} ({record.status})"), style="bold", highlight=False, markup=False)
    console.print_json(printable(record.model_dump_json()))
    if record.status == "failed" and (log := store.read_log(record.id)):
        console.print(f"\nlast lines of {store.log(record.id)}:", markup=False)
        console.print("\n".join(log.splitlines()[-20:]), markup=False, highlight=False)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    root = store_of(arguments.results).root
    output, template = _document_paths(arguments)
    if arguments.other is not None:
        from reports.build_comparison import build_comparison

        lines = build_comparison(root, store_of(arguments.other).root, output, template).lines
    else:
        from reports.build import build_report

        lines = build_report(root, output, arguments.topic, template).lines
    for line in lines:
        print(line)
    return 0


def _slides(arguments: argparse.Namespace) -> int:
    from reports.build_talk import build_slides

    root = store_of(arguments.results).root
    output, template = _document_paths(arguments)
    for line in build_slides(root, output, arguments.topic, template).lines:
        print(line)
    return 0


def _document_paths(arguments: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Where to write, and the user's own template."""
    template = expanded(arguments.template) if arguments.template else None
    if template and not template.exists():
        raise UsageError(f"{template}: no such file or folder; a template is a .cls or .sty, or a folder with one")
    return usable_folder(arguments.output, write=True) if arguments.output else None, template

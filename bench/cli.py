"""The command `bench`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import __version__, terminal
from bench.durations import seconds_of
from bench.path import leave_current_folder
from bench.records import Record, RecordStore, ResultsError

RESULTS = Path("results")


class UsageError(Exception):
    """A command cannot be carried out as given; the message is one line."""


def main() -> None:
    leave_current_folder()
    terminal.prepare()
    arguments = _parser().parse_args()
    # A polite kill ends a run as Ctrl-C does: workers stopped, finished cells kept.
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="A benchmark of parameter-efficient fine-tuning.")
    parser.add_argument("--version", action="version", version=f"adaptbench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the cells of a suite that have no result yet")
    run.add_argument("suite", nargs="?", default="embedded", help="a built-in suite's name, or the path of a YAML file")
    run.add_argument("--results", type=Path, help="folder of the results (default: results/<suite>)")
    run.add_argument("--slots", type=_positive, help="cells at a time (default: one per GPU, or per core and 4 GiB)")
    limit = "how long a cell may train, and be profiled, as in '90 min' or '2 h'; 'none' is without end (default: 12 h)"
    run.add_argument("--time-limit", type=_length_of_time, help=limit)
    run.set_defaults(command=_run)

    status = commands.add_parser("status", help="what of a results folder is done, failed, open")
    status.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    status.set_defaults(command=_status)

    list_ = commands.add_parser("list", help="names of methods, tasks, backbones, suites")
    list_.add_argument("kind", nargs="?", choices=("methods", "tasks", "backbones", "suites"), help="with details")
    list_.set_defaults(command=_list)

    show = commands.add_parser("show", help="a cell's record")
    show.add_argument("cell", help="its id, or the beginning of it")
    show.add_argument("--results", type=Path, help="where to look (default: every folder under results/)")
    show.set_defaults(command=_show)

    report = commands.add_parser("report", help="render a results folder as LaTeX, PDF and a web page")
    report.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    report.add_argument("other", nargs="?", help="a second one, to be set beside the first")
    report.add_argument("--output", type=Path, help="folder of the report (default: report/ in the results folder)")
    _document_options(report)
    report.set_defaults(command=_report)

    slides = commands.add_parser("slides", help="render a results folder as slides for a talk of 15 minutes")
    slides.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    slides.add_argument("--output", type=Path, help="folder of the slides (default: slides/ in the results folder)")
    _document_options(slides)
    slides.set_defaults(command=_slides)
    return parser


# As in reports.topics, which takes a second to import.
TOPICS = ("all", "sparse", "lowrank", "adapters", "prompts", "hypernetworks")


def _document_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topic", choices=TOPICS, default="all", help="the family that it is about (default: all)")
    parser.add_argument("--template", type=Path, help="your own .cls or .sty, or a folder with one or with templates")


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"takes a whole number from 1, not {text!r}")
    return int(text)


def _length_of_time(text: str) -> str:
    try:
        seconds_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _run(arguments: argparse.Namespace) -> int:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UsageError(
            "running cells needs torch and more: pip install 'adaptbench[run]' (reports need none of it)"
        ) from None
    from bench.display import RunDisplay
    from bench.launchers.local import LocalLauncher, slots
    from bench.scheduler import Scheduler
    from bench.suite import Suite, SuiteError

    here = Path.cwd()
    try:
        suite = Suite.load(arguments.suite)
    except SuiteError as error:
        raise UsageError(str(error)) from None
    os.chdir(here)  # from where paths are seen, wherever a plugin has gone
    store = RecordStore(arguments.results or RESULTS / suite.name)
    launcher = LocalLauncher(preload=suite.modules())
    limit = seconds_of(arguments.time_limit or suite.file.time_limit)
    with RunDisplay() as display:
        records = Scheduler(suite, store, launcher, slots(arguments.slots), limit).run(display)
    lacking = _lacking(records, suite.file.profile)
    print(f"results: {store.root}" + (f" ({'; '.join(lacking)})" if lacking else ""))
    print(f"next: bench report {store.root}")
    return 1 if lacking else 0


def _lacking(records: list[Record], profiles: bool) -> list[str]:
    """What a run has not brought about, in words; with it, the command fails."""
    lacking = []
    if failed := sum(record.status == "failed" for record in records):
        lacking.append(f"{failed} of {len(records)} cells failed")
    if unprofiled := [record for record in records if record.status == "trained" and profiles]:
        lacking.append(f"{len(unprofiled)} without a cost profile, as {unprofiled[0].id}: {unprofiled[0].reason}")
    return lacking


def _console() -> Console:
    """In a file or a pipe, lines must not break at the width of a terminal that is not there."""
    return Console(width=None if sys.stdout.isatty() else 200)


def _status(arguments: argparse.Namespace) -> int:
    from bench.display import status_table

    store = _store(arguments.results)
    manifest = store.manifest()
    records = {record.id: record for record in store.records()}
    console = _console()
    console.print(status_table(manifest.cells, records, manifest.suite.get("profile", True)))
    for record in records.values():
        if record.reason:
            console.print(f"{record.id}  {record.status}  {record.cell}: {record.reason}", markup=False, soft_wrap=True)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from bench import backbones, suite
    from bench.registry import Registry

    registry = Registry()
    names = {
        "methods": [*registry.names("methods"), *(f"{name}:<type>" for name in registry.libraries("methods"))],
        "tasks": [*registry.names("tasks"), *registry.made_to_order()],
        "backbones": backbones.names(),
        "suites": suite.built_in(),
    }
    if arguments.kind is None:
        for kind, values in names.items():
            print(f"{kind}: {', '.join(values)}")
        return 0
    if arguments.kind == "methods":
        inside = [name for library in registry.libraries("methods") for name in registry.names_in(library)]
        names["methods"] = registry.names("methods") + inside
    if arguments.kind == "tasks":
        names["tasks"] = registry.names("tasks")
    _console().print(_details(arguments.kind, names[arguments.kind]))
    return 0


def _details(kind: str, names: list[str]) -> Table:
    """One row per plugin; this imports them, and with them torch."""
    from bench import yaml_lines
    from bench.backbones import EMBEDDED
    from bench.registry import PluginError, Registry
    from bench.suite import BUILT_IN

    columns = {
        "methods": ("method", "family", "composition", "paper", "hyperparameters and defaults"),
        "tasks": ("task", "kind", "metrics", "size", "offline", "licence", "source"),
        "backbones": ("backbone", "architecture", "parameters", "licence"),
        "suites": ("suite", "description"),
    }
    table = Table(*columns[kind], box=None, padding=(0, 2, 0, 0))
    for name in names:
        if kind == "suites":
            data, _ = yaml_lines.load(BUILT_IN / f"{name}.yaml")
            table.add_row(name, escape(data.get("description", "")))
            continue
        if kind == "backbones":
            card = EMBEDDED[name.removeprefix("embedded:")].card
            table.add_row(name, card.architecture, f"{card.parameters:,}", card.licence)
            continue
        try:
            cls = Registry().get("methods" if kind == "methods" else "tasks", name).cls
        except PluginError as error:
            table.add_row(name, escape(str(error)))
            continue
        if kind == "methods":
            fields = ", ".join(f"{key}={field.get_default()!r}" for key, field in cls.model_fields.items())
            table.add_row(name, cls.card.family, cls.card.composition, cls.card.citation, escape(fields))
        else:
            metrics = ", ".join(cls.card.metrics)
            offline = "yes" if cls.card.offline else "no"
            licence = escape(cls.card.licence)
            table.add_row(name, cls.card.kind, metrics, cls.card.size, offline, licence, cls.card.citation)
    return table


def _show(arguments: argparse.Namespace) -> int:
    folders = [arguments.results] if arguments.results else sorted(RESULTS.glob("*/"))
    found = [path for folder in folders for path in folder.glob(f"cells/{arguments.cell}*/record.json")]
    if not found:
        raise UsageError(f"no cell {arguments.cell!r} under {', '.join(map(str, folders)) or RESULTS}")
    if len({path.parent.name for path in found}) > 1:
        raise UsageError(f"{arguments.cell!r} is the beginning of several: {', '.join(p.parent.name for p in found)}")
    folder = found[0].parent
    store = RecordStore(folder.parent.parent)
    record = store.read(folder.name)
    assert record is not None
    console = _console()
    console.print(f"{record.cell} ({record.status})", style="bold", highlight=False)
    console.print_json(record.model_dump_json())
    if record.status == "failed" and store.read_log(record.id):
        console.print(f"\nlast lines of {store.log(record.id)}:", markup=False)
        console.print("\n".join(store.read_log(record.id).splitlines()[-20:]), markup=False, highlight=False)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    root = _store(arguments.results).root
    if arguments.other is not None:
        from reports.comparison import build_comparison

        lines = build_comparison(root, _store(arguments.other).root, arguments.output, arguments.template).lines
    else:
        from reports.build import build_report

        lines = build_report(root, arguments.output, arguments.topic, arguments.template).lines
    for line in lines:
        print(line)
    return 0


def _slides(arguments: argparse.Namespace) -> int:
    from reports.slides import build_slides

    made = build_slides(_store(arguments.results).root, arguments.output, arguments.topic, arguments.template)
    for line in made.lines:
        print(line)
    return 0


def _store(results: str) -> RecordStore:
    """A results folder by path, or by the name of its suite."""
    path = Path(results)
    return RecordStore(path if path.is_dir() else RESULTS / results)

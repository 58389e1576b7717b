"""The plan of a suite in words, for `bench plan` and the first lines of `bench run`. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench import suite_reader
from bench.durations import SECONDS
from bench.planning import Found, Plan, Planned, crossed, plan, standing
from bench.resolved_suite import ResolvedSuite
from bench.suite import Suite, find
from bench.suite_file import SuiteFile
from records.cards import Cards
from records.record import Record, left_out
from records.store import NoResults, RecordStore, ResultsError
from records.text import listing, printable
from records.tuning import tuned_label

Folder = tuple[RecordStore, list[Record], Cards]


def of_file(name_or_path: str, results: Path | None, slots: int | None) -> list[str]:
    """By what the suite's file says: no plugin is imported, so that it takes a second and needs no torch. Raises
    SuiteError, and ResultsError on a results folder that was named and cannot be read."""
    path = find(name_or_path)
    file, budgets = suite_reader.read_file(path)
    search = [_search(file)] if file.tuning else []
    if file.tuning:  # at most: what only prompts has nothing to search
        file = file.model_copy(update={"methods": file.methods | {tuned_label(label): {} for label in file.methods}})
    try:
        folder: Folder | None = _read(results.expanduser() if results else Path("results") / path.stem)
    except NoResults:
        if results:
            raise
        folder = None
    done = standing(file, folder[1] if folder else [])
    lost = folder[0].manifest().left_out if folder else []  # plugins are read by a run
    said = lines(plan(path.stem, file, list(crossed(file, budgets)), done, folder, slots))
    return [*search, *said, *(printable(f"left out by the last run, with its cells: {each}") for each in lost)]


def _search(file: SuiteFile) -> str:
    """What comes first where hyperparameters are searched."""
    assert file.tuning is not None
    searches = len(file.backbones) * len(file.methods) * (1 if file.tuning.task else len(file.tasks))
    cells = searches * sum(file.tuning.counts) * len(file.tuning.seeds)
    return (
        f"search (bench tune): at most {cells:,} cells, {file.tuning.trials} trials for each of {searches:,} searches,"
        f" with {100 * file.tuning.cost:.0f} % of the steps of whole ones"
    )


def of_suite(suite: Suite | ResolvedSuite, results: Path, slots: int) -> list[str]:
    """By its cells' identities, as `bench run` goes by them. What is wrong with the folder is for the run to say."""
    return lines(plan_of(suite, results, slots))


def plan_of(suite: Suite | ResolvedSuite, results: Path, slots: int | None = None) -> Plan:
    """What those lines say, as numbers."""
    try:
        folder: Folder | None = _read(results)
    except ResultsError:
        folder = None
    done = {Planned.of(each.cell): each for each in (folder[1] if folder else []) if each.id in suite.cells}
    cells = [Planned.of(cell) for cell in suite.cells.values()]
    made = plan(suite.name, suite.file, cells, done, folder, slots)
    return replace(made, left_out=tuple(left_out(suite.left_out)))


def _read(root: Path) -> Folder:
    store = RecordStore(root)
    manifest = store.manifest()
    return store, list(store.records()), manifest.cards


def lines(made: Plan) -> list[str]:
    """A plan in words, a line each."""
    axes = " × ".join(f"{n} {axis}{'s' if n != 1 else ''}" for axis, n in made.axes)
    said = [f"{made.name}: {made.done + made.open:,} cells ({axes}): {made.done:,} done, {made.open:,} open"]
    said += [f"left out with its cells: {each}" for each in made.left_out]
    if made.open:
        rests = listing([f"{n:,} of {rest}" for rest, n in made.rests.most_common()])
        said.append(f"time: {_time(made)}; what it rests on, by open cells: {rests}")
        low, high = (max(1, round(size / 1e6)) for size in made.disk)
        said.append(f"disk: {low:,} to {high:,} MB for records, predictions, texts and what methods learnt")
    return [printable(line) for line in (*said, *_detectable(made))]


def _time(made: Plan) -> str:
    if made.seconds is None:
        return "unknown yet"
    at_a_time = f"{made.slots} cell{'s' if made.slots != 1 else ''} at a time"
    low, high = (_one_digit(seconds) for seconds in made.seconds)
    return f"{low} to {high}, {at_a_time}" if low != high else f"about {low}, {at_a_time}"


def _one_digit(seconds: float) -> str:
    """More would be guessed."""
    unit = next((unit for unit in ("d", "h", "min") if seconds >= 1.5 * SECONDS[unit]), "s")
    amount = float(f"{seconds / SECONDS[unit]:.1g}")
    return f"{amount:,.0f} {unit}"


def _detectable(made: Plan) -> list[str]:
    """Tasks that come to the same share a line."""
    alike: dict[tuple[object, ...], list[Found]] = {}
    for one in made.found:
        alike.setdefault((one.seeds, one.examples, one.wide, one.narrow, one.spreads), []).append(one)
    several = len({one.backbone for one in made.found}) > 1
    said = []
    for group in alike.values():
        first = group[0]
        on = listing([f"{one.task} ({one.backbone})" if several else one.task for one in group])
        wide = f"{_points(first.wide)} for other seeds and examples, " if first.wide else ""
        narrow = f"{_points(first.narrow)} for {'these very models' if wide else 'this seed'} on other examples"
        seeds = f"{first.seeds} seed{'s' if first.seeds != 1 else ''}"
        said.append(
            f"detectable on {on}, in points of {first.spreads.of}, alone and after Holm over {made.comparisons:,}"
            f" differences to {made.reference or 'one configuration'}: {wide}{narrow} ({seeds} × {first.examples:,}"
            f" test examples at most, 80 % power; from {first.spreads.source})"
        )
    return said


def _points(differences: tuple[float, float]) -> str:
    """More than there are points cannot be found."""
    return " and ".join(f"{100 * each:.1f}" if each < 1 else "nothing" for each in differences)

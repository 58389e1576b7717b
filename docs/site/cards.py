"""A page for every native method: its card, its hyperparameters, where it works, and what was measured of it here."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bench.registry import Registry
from docs.site import links
from docs.site.pages import Field, fields, render
from records import archive
from records.cards import Claim, MethodCard
from records.vocabulary import COMPOSITIONS, FAMILIES, QUANTITIES
from reports import results as frame
from reports.analysis.analysis import Analysis, analyse
from reports.analysis.claims import Verdict
from reports.build_docs import PAGES
from reports.drawing import schematics, theme
from reports.model import claim_words
from reports.model.references import Entry, parse
from reports.model.writing import count, gigabytes
from reports.render.documentation import Run, rate
from reports.render.mathml import inline_math

DOCS = links.ROOT / "docs"


class Measured(NamedTuple):
    """A configuration on a task of a run whose records lie in docs/records."""

    suite: str
    page: str
    task: str
    label: str
    score: str
    adapter: str
    memory: str
    step: str
    latency: str
    stored: str
    cells: tuple[str, ...]


class Support(NamedTuple):
    """Of a method in docs/support.md: where it works, and elsewhere why not."""

    works: tuple[str, ...]
    reasons: dict[str, str]


@cache
def native() -> dict[str, Any]:
    """The classes of our own methods, by name, family by family."""
    registry = Registry()
    found = {name: registry.get("methods", name).cls for name in registry.names("methods")}
    found = {name: cls for name, cls in found.items() if cls.__module__.startswith("methods.")}
    order = list(FAMILIES)
    return dict(sorted(found.items(), key=lambda item: order.index(item[1].card.family)))


def files() -> list[str]:
    """Where the methods are written, as paths in the repository."""
    return sorted({_file(cls) for cls in native().values()})


def pages() -> dict[str, str]:
    """By their places in the site, with the drawings that they show."""
    made = {f"methods/{cls.card.family}/{name}.md": _page(name, cls) for name, cls in native().items()}
    listed = {family: [cls.card for cls in native().values() if cls.card.family == family] for family in FAMILIES}
    overview = render("methods.md.jinja", families=FAMILIES, listed=listed, support=support())
    return {"methods/index.md": overview} | made | _drawings()


def _page(name: str, cls: Any) -> str:
    card: MethodCard = cls.card
    papers = {entry.key: entry for entry in parse(card.bibtex)}
    return render(
        "method.md.jinja",
        card=card,
        family=FAMILIES[card.family],
        composition=COMPOSITIONS.get(card.composition, ""),
        formula=_displayed(card.formula),
        drawing=f"schematic-{card.family}.svg" if f"assets/schematic-{card.family}.svg" in _drawings() else None,
        fields=hyperparameters(cls),
        search=[(each, rate(each.low), rate(each.high), _cited(papers, each.source)) for each in card.search],
        support=support().get(name),
        claims=[(claim, _cited(papers, claim.source), _asked(claim)) for claim in card.claims],
        verdicts=[(run, verdict, claim_words.measured(verdict)) for run, verdict in _verdicts(name)],
        measured=measured(name),
        papers=list(papers.values()),
        file=_file(cls),
    )


def hyperparameters(cls: Any) -> list[Field]:
    """Those of a method, with their ranges."""
    return fields(cls.model_json_schema(), "")


def _displayed(formula: str) -> str:
    return str(inline_math(formula)).replace("<math", '<math display="block"', 1)


def _file(cls: Any) -> str:
    return Path(inspect.getfile(cls)).relative_to(links.ROOT).as_posix()


def _cited(papers: dict[str, Entry], key: str) -> str:
    if key not in papers:
        return key
    said = f"{papers[key].short} ({papers[key].year})"
    return f"[{said}]({papers[key].url})" if papers[key].url else said


def _asked(claim: Claim) -> str:
    """What it compares: "test score, at least full's"."""
    other = "the backbone's" if claim.comparator == "backbone" else f"that of `{claim.comparator}`"
    factor = "" if claim.factor == 1 else f"{claim.factor:g} times "
    if claim.varies:
        other = f"the same with a smaller `{claim.varies}`"
    than = " than" if claim.relation in ("higher", "lower") else " to" if claim.relation == "equal" else ""
    return f"{QUANTITIES[claim.measure].words} {claim.relation}{than} {factor}{other}"


@cache
def support() -> dict[str, Support]:
    """By method, what docs/support.md has of it."""
    text = (DOCS / "support.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE))
    found = {}
    for name, *marks in rows[2:]:
        of = dict(zip(rows[0][1:], marks, strict=True))
        works = tuple(architecture for architecture, mark in of.items() if mark == "✓")
        found[name] = Support(works, {where: reasons[mark] for where, mark in of.items() if mark != "✓"})
    return found


@cache
def runs() -> dict[str, Run]:
    """The runs whose records lie in docs/records, by the name of the archive."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            path.name.removesuffix(archive.ENDING): Run(_analysis(path, Path(folder)))
            for path in sorted((DOCS / "records").glob(f"*{archive.ENDING}"))
        }


def _analysis(path: Path, folder: Path) -> Analysis:
    return analyse(frame.read(archive.unpack(path, folder).root))


def measured(method: str) -> list[Measured]:
    """Every configuration of a method on every task of the runs that tested it."""
    return [
        _measured(suite, run, label, task)
        for suite, run in runs().items()
        for label in run.labels
        if run.results.method_of(label) == method
        for task in run.tasks
        if len(run.rows(label, task))
    ]


def _measured(suite: str, run: Run, label: str, task: str) -> Measured:
    def median(column: str, write: Any) -> str:
        value = run.median(label, task, column)
        return "–" if value != value else write(value)

    return Measured(
        suite,
        next(page for page, suites in PAGES.items() if suite in suites),
        task,
        label,
        run.score(label, task),
        median("adapter_parameters", count),
        median("peak_memory_bytes", gigabytes),
        median("step_ratio", "{:.2f}".format),
        median("latency", "{:.2f}".format),
        median("stored_bytes", lambda value: f"{value / 1e6:,.2f} MB"),
        tuple(sorted(str(cell) for cell in run.rows(label, task).index)),
    )


def _verdicts(method: str) -> Iterator[tuple[str, Verdict]]:
    for suite, run in runs().items():
        for verdict in run.analysis.verdicts:
            if verdict.method == method and verdict.verdict != "not testable here":
                yield suite, verdict


@cache
def _drawings() -> dict[str, str]:
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            for figure in schematics.figures([family]):
                path = Path(folder, f"schematic-{family}.svg")
                theme.save(figure, theme.SCREEN, path)
                made[f"assets/{path.name}"] = path.read_text("utf-8")
    return made

"""What reviewers ask: the responsible-NLP and reproducibility checklists, answered from the records."""

from __future__ import annotations

from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.checklist import Facts
from reports.model.document import Block, Code, Column, Number, Paragraph, Part, Row, Section, Table
from reports.model.prose import Part as Hole
from reports.model.prose import Prose, say
from reports.model.writing import count, number, plural, unit_for
from reports.results import Results
from reports.sections.rows import data_line, over_seeds, unit_of, usual_n

PLACE = "appendix"
ORDER = 60
KEY = "checklist"

# What each answers to, with the numbers that ACL Rolling Review gives its questions.
_TITLES = {
    "limitations": "Limitations and risks (A1, A2).",
    "artefacts": "Artefacts and licences (B1–B3, B5).",
    "data": "Data (B4–B6).",
    "compute": "Parameters and compute (C1).",
    "hyperparameters": "Search and hyperparameters (C2).",
    "selection": "Selection, and scores on validation data (C2).",
    "statistics": "Runs and statistics (C3).",
    "software": "Software (C4).",
    "not in the records": "Not in the records (D, E).",
    "tables": "Tables.",
}
_CHOSEN = (
    "The checkpoint is chosen by the primary metric on validation data, after each epoch; the test split is read once"
    " per cell, at the end."
)
_NOT_SAID = "The records do not say how a checkpoint was chosen, nor on which data."


def part(analysis: Analysis, prose: Prose) -> Part:
    """A paragraph a question, and a table of runs."""
    whole = analysis.everything
    holes = _holes(whole.results, whole.facts, analysis.topic.key, bool(whole.shares))
    blocks: list[Block] = [Paragraph(prose.text("checklist", "introduction"))]
    for heading, title in _TITLES.items():
        if said := prose.text("checklist", heading, **holes.get(heading, {})):
            blocks.append(Paragraph(said, title))
    return Part(Section(KEY, "Checklists", (*blocks, *tables(whole))))


def tables(analysis: Analysis) -> list[Table]:
    """Of each configuration what checklists ask to see side by side: parameters, runs, time, and both scores."""
    results, scored = analysis.results, analysis.scored
    if results.scored.empty:
        return []
    usual = usual_n(results.scored)
    seconds = unit_for("seconds", results.scored["wall_seconds"].tolist())
    rows: list[Row] = []
    data: list[dict[str, Any]] = []
    for backbone in results.backbones:
        for task in results.tasks:
            unit, first = results.scale(task).unit, True
            for label in results.labels:
                of = (backbone, task, label)
                found, ids = scored.of("score", *of)
                if not found.n:
                    continue
                units = {"wall_seconds": "seconds", "total_parameters": "parameters"}
                for column in ("total_parameters", "wall_seconds", "validation_score", "score"):
                    line = data_line(backbone, label, task, column, units.get(column, unit_of(results.scale(task))),
                                     *scored.of(column, *of))  # fmt: skip
                    data.append(line)
                total, _ = scored.of("total_parameters", *of)
                cells = (
                    Number(count(total.mean), total.mean, cells=ids) if total.n else None,
                    number(scored.of("wall_seconds", *of)[0], seconds, ids, usual),
                    number(scored.of("validation_score", *of)[0], unit, ids, usual),
                    number(found, unit, ids, usual),
                )
                where = (task if first else "", label) if len(results.tasks) > 1 else (label,)
                where = (backbone if first else "", *where) if len(results.backbones) > 1 else where
                rows.append(Row((*where, *cells), first and bool(rows)))
                first = False
    columns = (
        *((Column("Backbone", "label"),) if len(results.backbones) > 1 else ()),
        *((Column("Task", "label"),) if len(results.tasks) > 1 else ()),
        Column("Configuration", "label"),
        Column("Trained parameters"),
        Column("Time of a cell", unit=seconds.name),
        Column("Validation"),
        Column("Test"),
    )
    caption = say(
        "What checklists ask to see side by side, over {seeds}: trained parameters, the head included, time of training"
        " and evaluation, and the primary metric on validation and on test data, with sample standard deviations.",
        seeds=over_seeds(usual),
    )
    return [Table("runs", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]


def _holes(results: Results, facts: Facts, topic: str, shared: bool) -> dict[str, dict[str, Hole]]:
    """By heading, what the prose leaves open."""
    notes = str(results.suite.get("notes") or "").strip()
    said = f"The suite says of its hyperparameters: “{notes}”" if notes else "The suite says nothing of a search."
    missing = [f"{n} {status}" for status, n in facts.by_status.items() if status not in ("ok", "trained")]
    of_cells = f"{facts.scored} of {facts.cells} cells have a score{f' ({listing(missing)})' if missing else ''}."
    seeds = f"{plural(len(facts.seeds), 'seed').capitalize()} ({listing([str(seed) for seed in facts.seeds])})"
    per_cell = "every configuration is run once per task and seed"
    return {
        "artefacts": _licences(results),
        "data": _data(facts),
        "compute": {
            "backbones": listing([_backbone(results, name) for name in results.backbones]),
            "trained": _trained(facts),
            "records": plural(facts.cells - facts.by_status.get("not run", 0), "cell"),
            "hours": _duration(facts.seconds),
            "longest": _duration(facts.longest),
            "hardware": _hardware(facts),
        },
        "hyperparameters": {"notes": said, "configurations": _configurations(facts)},
        "selection": {
            "chosen": _CHOSEN if facts.chosen else _NOT_SAID,
            "validation": say("[tab:runs] has validation scores beside test scores.")
            if facts.reported
            else "Not every scored cell has validation scores.",
        },
        "statistics": {"runs": f"{seeds}: {per_cell}. {of_cells}", "kept": _kept(facts, shared)},
        "software": _software(facts),
        "tables": {"command": Code(f"bench report RESULTS --topic {topic}")},
    }


def _licences(results: Results) -> dict[str, Hole]:
    cards = [
        *((results.title("tasks", name), results.task_card(name).licence) for name in results.tasks),
        *((results.title("backbones", name), results.backbone_card(name).licence) for name in results.backbones),
    ]
    known = [f"{title}: {licence}" for title, licence in cards if licence]
    unknown = [title for title, licence in cards if not licence]
    said = f"The cards name no licence of {listing(unknown)}: look it up." if unknown else ""
    return {"licences": "; ".join(known) or "none is named", "unlicensed": said}


def _data(facts: Facts) -> dict[str, Hole]:
    used = []
    for each in facts.splits:
        used.append(f"{each.task}: " + " / ".join("unknown" if size is None else f"{size:,}" for size in each.sizes))
    removed = {each.task: each.duplicates for each in facts.splits if each.duplicates}
    dropped = [f"{n:,} of {task}" for task, n in removed.items()]
    commits = {repo: commit for each in facts.splits for repo, commit in each.commits.items()}
    pinned = [f"{repo}@{commit[:12]}" for repo, commit in commits.items()]
    return {
        "splits": f"{'; '.join(used)} (train / validation / test examples)",
        "dropped": f"Left out as duplicates of a later split: {listing(dropped)}." if dropped else "",
        "commits": f"Data from the hub, by commit: {listing(pinned)}." if pinned else "",
    }


def _backbone(results: Results, name: str) -> str:
    size = results.backbone_card(name).parameters
    if not isinstance(size, (int, float)):
        counted = results.scored[results.scored["backbone"] == name]["backbone_parameters"].dropna()
        size = float(counted.iloc[0]) if len(counted) else None
    return f"{results.title('backbones', name)} ({f'{count(size)} parameters' if size else 'of unknown size'})"


def _trained(facts: Facts) -> str:
    if not facts.parameters:
        return "No record tells how many parameters were trained."
    low, high = (count(value) for value in facts.parameters)
    return f"Trained, the head included: {low if low == high else f'{low} to {high}'} parameters by configuration."


def _hardware(facts: Facts) -> str:
    named = [*facts.processors, *(f"device {device}" for device in facts.devices)]
    named += [f"arithmetic in {listing(facts.precisions)}"] if facts.precisions else []
    return ", ".join(named) or "not known"


def _configurations(facts: Facts) -> str:
    several = {method: n for method, n in facts.configurations.items() if n > 1}
    said = f"{plural(len(facts.configurations), 'method')}, each in one configuration"
    if several:
        of = listing([f"{n} of {method}" for method, n in several.items()])
        said = f"{plural(len(facts.configurations), 'method')}, of some more than one configuration: {of}"
    return said


def _kept(facts: Facts, shared: bool) -> str:
    """`shared` says that something is told from the number of test examples."""
    if not facts.kept and shared:
        return "Predictions were not kept: of other test examples the folder says what their number alone tells."
    if not facts.kept:
        return "Predictions were not kept, so that nothing can be said of other test examples from this folder."
    return f"The predictions of {facts.kept} cells were kept, example by example."


def _software(facts: Facts) -> dict[str, Hole]:
    versions = ", ".join(f"{package} {' and '.join(found)}" for package, found in facts.versions.items())
    commits = [commit[:12] for commit in facts.commits]
    of = f"Records without a commit: {facts.without}." if facts.without else ""
    code = f"Code: commit {listing(commits)}. {of}".rstrip() if commits else "No record names the code's commit."
    return {
        "versions": f"Packages: {versions}." if versions else "No record names versions of packages.",
        "commits": code,
        "uncommitted": f"{facts.uncommitted} records come from code with local changes." if facts.uncommitted else "",
    }


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

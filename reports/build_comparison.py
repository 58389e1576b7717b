"""Two results folders side by side: the same suite before and after a change, or on two machines. A difference is shown
as measured, next to whatever makes the two hard to compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from reports.analysis.analysis import analyse
from reports.analysis.statistics import MIN_PAIRS, Summary, compare_paired, holm
from reports.analysis.summaries import seeds_of, summary_of
from reports.build import copy_style, output_folder, read_results, writing
from reports.model.document import (
    Block,
    Cite,
    Code,
    Column,
    Document,
    Inline,
    Number,
    Paragraph,
    Prompt,
    Ref,
    Row,
    Section,
    Table,
    Text,
    listing,
)
from reports.model.references import references_of, run_entry
from reports.model.writing import named_scores, plural
from reports.render import compiling, latex, macros
from reports.render.bibtex import bibliography
from reports.render.templating import Style, read_style
from reports.results import Results, select
from reports.scales import Scale
from reports.sections.report import known_only
from reports.sections.tables import p_text

_COSTS = {
    "adapter_parameters": "trained parameters",
    "stored_bytes": "stored bytes",
    "peak_memory_bytes": "peak memory",
    "step_seconds": "step time",
    "deployed_seconds": "latency",
}


@dataclass(frozen=True)
class Comparison:
    """What was written, and lines that say so, warnings first."""

    folder: Path
    pdf: Path | None
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def build_comparison(a: Path, b: Path, output: Path | None = None, template: Path | None = None) -> Comparison:
    """Writes and compiles the comparison into `output` (by default `<b>/compared-with-<a>`). Raises ResultsError."""
    before, after = read_results(Path(a)), read_results(Path(b))
    folder = output_folder(Path(b), output, f"compared-with-{Path(a).resolve().name}")
    with writing("comparison"):
        return _write(before, after, folder, read_style(template))


def _write(a: Results, b: Results, folder: Path, style: Style) -> Comparison:
    copy_style(style, folder)
    references = references_of(a, b)
    # Two runs of one suite would share a key.
    runs = [replace(run_entry(one), key=f"run-{name}") for one, name in ((a, "A"), (b, "B"))]
    references = {key: entry for key, entry in references.items() if not key.startswith("run-")}
    references |= {run.key: run for run in runs}
    warned = warnings(a, b)
    made = known_only(compose(a, b, warned), references)
    (folder / "build").mkdir(parents=True, exist_ok=True)
    latex.write_parts(made, folder)
    for table in made.tables:
        table.data.to_csv(folder / "tables" / f"{table.key}.csv", index=False)
    own = bibliography(runs)
    others = bibliography(entry for key, entry in references.items() if not key.startswith("run-"))
    (folder / "run.bib").write_text(own, encoding="utf-8")
    (folder / "references.bib").write_text(others, encoding="utf-8")
    (folder / "numbers.tex").write_text(macros.numbers(analyse(b)), encoding="utf-8")
    latex.write_source(made, folder, style)
    compiled = compiling.compile_pdf(folder, "report")
    lines = (*(f"not comparable as it stands: {one}" for one in warned), f"wrote {plural(len(made.tables), 'table')}"
             f" (.tex, .csv) to {folder}", compiled.said)  # fmt: skip
    return Comparison(folder, compiled.pdf, lines, tuple(warned))


def warnings(a: Results, b: Results) -> list[str]:
    """Whatever differs between the two besides their results, in sentences."""
    found = []
    for what, one, other in (
        ("budget", _budgets(a), _budgets(b)),
        ("hyperparameters", _hyperparameters(a), _hyperparameters(b)),
    ):
        changed = [key for key in one if key in other and one[key] != other[key]]
        if changed:
            found.append(f"the {what} of {listing(changed[:6])}{' and others' if len(changed) > 6 else ''} differ")
    seeds = [sorted({int(s) for s in r.cells["seed"]}) for r in (a, b)]
    if seeds[0] != seeds[1]:
        found.append(f"the seeds differ ({_said(seeds[0])} and {_said(seeds[1])})")
    for key, name in (("precision", "arithmetic"), ("device", "device"), ("processor", "processor"),
                      ("cores", "number of cores"), ("threads", "number of threads"),
                      ("python", "Python")):  # fmt: skip
        here, there = _environment(a, key), _environment(b, key)
        if here != there and here and there:
            found.append(f"the {name} differs ({_said(here)} and {_said(there)})")
    versions = [_versions(r) for r in (a, b)]
    changed = [f"{name} ({versions[0][name]} and {versions[1][name]})" for name in versions[0]
               if name in versions[1] and versions[0][name] != versions[1][name]]  # fmt: skip
    if changed:
        found.append(f"versions differ: {listing(changed)}")
    revisions = [_revisions(r) for r in (a, b)]
    changed = [name for name in revisions[0] if name in revisions[1] and revisions[0][name] != revisions[1][name]]
    if changed:
        found.append(f"the revisions of {listing(changed)} differ: their behaviour was changed")
    for kind, mine, yours in (("backbones", a.backbones, b.backbones), ("tasks", a.tasks, b.tasks),
                             ("configurations", a.labels, b.labels)):  # fmt: skip
        alone = [name for name in (*mine, *yours) if (name in mine) != (name in yours)]
        if alone:
            found.append(f"{kind} that only one of them has are left out: {listing(alone)}")
    changed = [task for task in a.tasks if task in b.tasks and not _same_scale(a, b, task)]
    if changed:
        found.append(f"the scores of {listing(changed)} are read differently (another metric, range or direction), and"
                     " left out")  # fmt: skip
    protocols = [_protocols(r) for r in (a, b)]
    changed = [key for key in protocols[0] if key in protocols[1] and protocols[0][key] != protocols[1][key]]
    if changed:
        found.append(f"costs were profiled under different protocols on {listing(changed)}")
    return found


def compose(a: Results, b: Results, warned: list[str]) -> Document:
    made = [*_scores(a, b), *_costs(a, b)]
    said: Text = ("A is ", Code(a.root.name), f" (suite “{a.name}”, {a.manifest.created[:10]}) ", Cite(("run-A",)),
                  ", B is ", Code(b.root.name), f" (suite “{b.name}”, {b.manifest.created[:10]}) ", Cite(("run-B",)),
                  ". Every difference is B minus A, every ratio B over A.")  # fmt: skip
    if warned:
        caution = [
            Paragraph((f"{one[0].upper()}{one[1:]}.",), "Warning." if not i else None) for i, one in enumerate(warned)
        ]
    else:
        caution = [Paragraph(("Budgets, hyperparameters, seeds, machine, precision and versions agree as far as the"
                              " records hold them.",))]  # fmt: skip
    results: list[Block] = [*made] or [Paragraph(("The two share no configuration that both have a result for.",))]
    shared: list[Block] = [*_told(made, a), *results]
    prompt = Prompt(("What did you change between the two, and which of these differences do you put down to it?",),
                    key="comparison")  # fmt: skip
    sections = (
        Section("compared", "What Is Compared", (Paragraph(said),)),
        Section("comparable", "Are They Comparable?", tuple(caution)),
        Section("differences", "Differences", tuple(shared)),
        Section("reading", "Reading Them", (prompt,)),
    )
    abstract: Text = (f"Two runs side by side: {plural(len(warned), 'thing')} besides the results"
                      f" {'differs' if len(warned) == 1 else 'differ'} between them." if warned else
                      "Two runs side by side, alike in all that their records say of how they were made.",)  # fmt: skip
    return Document("Two Runs Side by Side", f"{a.root.name} (A) and {b.root.name} (B)", b.manifest.created[:10], (),
                    abstract, sections)  # fmt: skip


def _told(made: list[Table], a: Results) -> list[Paragraph]:
    if not made or made[0].key != "compared-scores":
        return []
    data = made[0].data
    tested = data[data["p_holm"].notna()]
    text: list[Inline] = [f"{plural(len(data), 'pair').capitalize()} of means can be compared (",
                          Ref("tab:compared-scores"), "). "]  # fmt: skip
    plain = data[[a.scale(task).in_points for task in data["task"]]]
    if len(plain):
        largest = plain.iloc[int(plain["difference"].abs().to_numpy().argmax())]
        scale = a.scale(str(largest["task"]))
        shown = scale.text(scale.raw(largest["difference"]), signed=True)
        text += [f"The largest difference{'' if len(plain) == len(data) else ' of fractions'} is {shown} points (",
                 Code(str(largest["label"])), " on ", Code(str(largest["task"])), "). "]  # fmt: skip
    return [Paragraph((*text, _verdict(tested)))]


def _same_scale(a: Results, b: Results, task: str) -> bool:
    one, other = a.scale(task), b.scale(task)
    # Cards of old say nothing of a range: a correlation of theirs reads as a fraction, and is in points all the same.
    ranges = (one.in_points and other.in_points) or (one.low, one.high) == (other.low, other.high)
    return one.higher_is_better == other.higher_is_better and ranges and a.metric_key(task) == b.metric_key(task)


def _verdict(tested: pd.DataFrame) -> str:
    if tested.empty:
        return f"None is tested: fewer than {MIN_PAIRS} seeds are in both runs."
    real = int((tested["p_holm"] < 0.05).sum())
    return f"Of {len(tested)} paired tests, corrected by Holm, {real} show a difference."


def _scores(a: Results, b: Results) -> list[Table]:
    lines: list[dict[str, Any]] = []
    for backbone, task, label in _shared(a, b):
        cells = [select(r.scored, backbone=backbone, task=task, label=label) for r in (a, b)]
        (one, ids_a), (other, ids_b) = (summary_of(c, "score") for c in cells)
        if one.n and other.n and _same_scale(a, b, task):
            found = compare_paired(seeds_of(cells[1]), seeds_of(cells[0]))
            lines.append({"backbone": backbone, "task": task, "label": label, "a": one, "b": other, "found": found,
                          "cells": (*ids_a, *ids_b)})  # fmt: skip
    if not lines:
        return []
    adjusted = iter(holm([line["found"].p for line in lines if line["found"].p is not None]))
    rows, data = [], []
    for line in lines:
        found = line["found"]
        p = next(adjusted) if found.p is not None else None
        difference = line["b"].mean - line["a"].mean
        scale = a.scale(line["task"])
        rows.append(Row((_name(line, a), line["task"], _score(line["a"], scale), _score(line["b"], scale),
                         Number(scale.text(difference, signed=True), scale.raw(difference), cells=line["cells"]),
                         str(found.n),
                         None if p is None else Number(p_text(p), p))))  # fmt: skip
        data.append({"backbone": line["backbone"], "task": line["task"], "label": line["label"],
                     "mean_a": scale.raw(line["a"].mean),
                     "sd_a": line["a"].sd, "n_a": line["a"].n, "mean_b": scale.raw(line["b"].mean),
                     "sd_b": line["b"].sd,
                     "n_b": line["b"].n, "difference": scale.raw(difference), "pairs": found.n, "p": found.p,
                     "p_holm": p, "cells": " ".join(line["cells"])})  # fmt: skip
    columns = (Column("Method", "label"), Column("Task", "label"), Column("A"), Column("B"), Column("B − A"),
               Column("pairs"), Column("p"))  # fmt: skip
    tasks = list(dict.fromkeys(line["task"] for line in lines))
    caption = (f"Test scores of both runs{_unit(a, tasks)}, mean ± sample standard deviation, and the difference of"
               " the means. p: two-sided paired t-test over the seeds that both have, corrected by Holm; none below"
               f" {MIN_PAIRS} pairs.",)  # fmt: skip
    frame = pd.DataFrame(data).astype({"p": float, "p_holm": float})
    return [Table("compared-scores", caption, columns, tuple(rows), frame, wide=True)]


def _costs(a: Results, b: Results) -> list[Table]:
    rows, data = [], []
    for backbone, task, label in _shared(a, b):
        cells: list[str | Number | None] = []
        for column in _COSTS:
            means = [summary_of(_with_deployed(select(r.cells, backbone=backbone, task=task, label=label)), column)
                     for r in (a, b)]  # fmt: skip
            (one, ids_a), (other, ids_b) = means
            if not one.n or not other.n or not one.mean:
                same = one.n and other.n and one.mean == other.mean
                cells.append("0" if same and column == "adapter_parameters" else None)
                continue
            ratio = other.mean / one.mean
            cells.append(Number(f"{ratio:.3f}", ratio, cells=(*ids_a, *ids_b)))
            data.append({"backbone": backbone, "task": task, "label": label, "measure": column, "mean_a": one.mean,
                         "mean_b": other.mean, "ratio": ratio, "cells": " ".join((*ids_a, *ids_b))})  # fmt: skip
        if any(cells):
            rows.append(Row((_name({"backbone": backbone, "label": label}, a), task, *cells)))
    if not rows:
        return []
    columns = (Column("Method", "label"), Column("Task", "label"), *(Column(title) for title in _COSTS.values()))
    caption = ("Costs of B over those of A: 1 is no change, 2 twice as much. Times of two machines, or of one that was"
               " busy, say nothing of the methods.",)  # fmt: skip
    return [Table("compared-costs", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]


def _with_deployed(cells: pd.DataFrame) -> pd.DataFrame:
    """In seconds: of two machines, the backbone's own latency is of interest as well."""
    return cells.assign(deployed_seconds=cells["merged_inference_seconds"].fillna(cells["inference_seconds"]))


def _shared(a: Results, b: Results) -> list[tuple[str, str, str]]:
    """(backbone, task, label) of both, in the order of the first."""
    return [(backbone, task, label) for backbone in a.backbones if backbone in b.backbones for task in a.tasks
            if task in b.tasks for label in a.labels if label in b.labels]  # fmt: skip


def _name(line: dict[str, Any], a: Results) -> str:
    return f"{line['label']} ({line['backbone']})" if len(a.backbones) > 1 else str(line["label"])


def _unit(a: Results, tasks: list[str]) -> str:
    said = named_scores(a, tasks).removeprefix("primary metric")
    return said if said == " in points" else f" ({said.strip(' ()')})"


def _score(summary: Summary, scale: Scale) -> Number:
    spread = None if summary.sd is None else scale.spread(summary.sd)
    return Number(scale.text(summary.mean), scale.raw(summary.mean), spread)


def _budgets(results: Results) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for cell in results.manifest.cells.values():
        found.setdefault(cell.task, set()).add(cell.budget.model_dump_json())
    return {task: " ".join(sorted(budgets)) for task, budgets in found.items()}


def _hyperparameters(results: Results) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for cell in results.manifest.cells.values():
        found.setdefault(cell.label, set()).add(str(sorted(cell.hyperparameters.items(), key=str)))
    return {label: " ".join(sorted(each)) for label, each in found.items()}


def _revisions(results: Results) -> dict[str, str]:
    found: dict[str, str] = {}
    for cell in results.manifest.cells.values():
        found |= {
            cell.method: cell.method_revision,
            cell.task: cell.task_revision,
            cell.backbone: cell.backbone_revision,
        }
    return found


def _protocols(results: Results) -> dict[str, str]:
    found: dict[str, str] = {}
    for cell_id, record in results.records.items():
        if record.cost is not None:
            found[results.manifest.cells[cell_id].task] = str(sorted(record.cost.protocol.items(), key=str))
    return found


def _environment(results: Results, key: str) -> list[str]:
    return sorted({str(e[key]) for e, _ in results.environments() if e.get(key) is not None})


def _versions(results: Results) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for environment, _ in results.environments():
        for name, version in (environment.get("versions") or {}).items():
            found.setdefault(str(name), set()).add(str(version))
    return {name: "/".join(sorted(each)) for name, each in found.items()}


def _said(values: list[Any]) -> str:
    return listing([str(value) for value in values])

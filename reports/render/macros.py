"""numbers.tex: a macro for every aggregate, so that prose never goes stale; and run.bib, the run as a reference."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

import pandas as pd

from records.vocabulary import QUANTITIES
from reports.analysis.analysis import Analysis
from reports.analysis.contrasts import Contrast
from reports.analysis.summaries import summary_of
from reports.cost_columns import COST_COLUMNS
from reports.model import verdict_words
from reports.model.document import short_hash
from reports.model.writing import amount, count, effect, score, span, spread, unit_for, with_spread
from reports.render.templating import latex_environment
from reports.results import Results, select
from reports.scales import UNDEFINED, Scale, Unit

# What written numbers have beside digits, as LaTeX.
_LATEX = str.maketrans({"−": "$-$", "±": "$\\pm$", "×": "$\\times$", " ": "\\,", "%": "\\%", "µ": "\\textmu "})
# What is words.
_WORDS = ("verdict", "population")
_MEGABYTES = Unit("MB", 1e-6, 0)


def numbers(analysis: Analysis) -> str:
    """Of all results, whatever the document's topic."""
    whole = analysis.everything
    results = whole.results
    names = {
        "backbone": macro_names(results.backbones),
        "label": macro_names(results.labels),
        "task": macro_names(results.tasks),
    }
    renamed = [pair for of in names.values() for pair in of.items() if pair[0] != pair[1]]
    lines = [f"% In names, '{_one_line(name)}' is {safe}" for name, safe in renamed]
    names["label"][""] = names["task"][""] = ""
    for (backbone, label, task), values in _aggregates(whole):
        of = f"{names['label'][label]}|{names['task'][task]}"
        # Under the backbone's name, and without it for the first backbone.
        first = [""] if backbone == results.backbones[0] else []
        for what, value in values.items():
            for on in (names["backbone"][backbone], *first):
                text = value if what in _WORDS else value.translate(_LATEX)
                lines.append(f"\\benchdefine{{{what}|{on}|{of}}}{{{text}}}")
    return latex_environment().get_template("numbers.tex.jinja").render(lines=lines)


def _aggregates(whole: Analysis) -> Iterator[tuple[tuple[str, str, str], dict[str, str]]]:
    """What there is of each (backbone, label, task), and then of each (backbone, label, ""), as plain text."""
    results, found = whole.results, {(c.backbone, c.label, c.task): c for c in whole.contrasts}
    for backbone in results.backbones:
        for label in results.labels:
            for task in results.tasks:
                key = (backbone, label, task)
                yield key, _on_task(whole, *key, found.get(key))
            over_tasks = _over_tasks(select(results.scored, backbone=backbone, label=label))
            yield (backbone, label, ""), over_tasks | _ranks(whole, backbone, label)


def _on_task(whole: Analysis, backbone: str, label: str, task: str, contrast: Contrast | None) -> dict[str, str]:
    results = whole.results
    scale = results.scale(task)
    found = _scores(whole.scored.cells(backbone, task, label), scale) or _undefined(results, backbone, label, task)
    if contrast is not None:
        found["difference"] = with_spread(contrast.comparison, scale.unit, signed=True)
        found["verdict"] = contrast.decision.word if contrast.decision else "not tested"
        if contrast.decision:
            found["population"] = verdict_words.POPULATIONS[contrast.decision.population]
    for column in COST_COLUMNS:
        summary, _ = whole.scored.of(column, backbone, task, label)
        if summary.n:
            found[f"cost|{column}"] = quantity(column, summary.mean)
    return found


def _over_tasks(cells: pd.DataFrame) -> dict[str, str]:
    found = {}
    for name, column, write in (
        ("parameters", "adapter_parameters", count),
        ("percent", "percent", lambda value: effect(value, "percent")),
        ("peakmemory", "peak_memory_bytes", lambda value: amount(value, _MEGABYTES)),
    ):
        summary, _ = summary_of(cells, column)
        if summary.n:
            found[name] = write(summary.mean)
    return found


def _ranks(whole: Analysis, backbone: str, label: str) -> dict[str, str]:
    """Nothing where ranks have no confidence sets."""
    ranked = whole.rank_sets.over_all(backbone)
    if ranked is None or label not in ranked.sets:
        return {}
    found = ranked.sets[label]
    return {"rank": str(found.rank), "ranked": span((found.low, found.high), 0)}


def quantity(column: str, value: float) -> str:
    """A cost with its unit."""
    kind = QUANTITIES[column].unit if column in QUANTITIES else "count"
    return amount(value, unit_for(kind, [value])) if kind in ("bytes", "seconds") else count(value)


def _scores(cells: pd.DataFrame, scale: Scale) -> dict[str, str]:
    found, _ = summary_of(cells, "score")
    if not found.n:
        return {}
    said = {
        "score": with_spread(found, scale.unit),
        "mean": score(found.mean, scale),
        "n": str(found.n),
        "sd": "--" if found.sd is None else spread(found.sd, scale.unit),
    }
    validation, _ = summary_of(cells, "validation_score")
    return said | ({"validation": with_spread(validation, scale.unit)} if validation.n else {})


def _undefined(results: Results, backbone: str, label: str, task: str) -> dict[str, str]:
    """What stands for a score where every record's is undefined."""
    cells = select(results.cells, backbone=backbone, label=label, task=task, status=UNDEFINED)
    return {} if cells.empty else {"score": UNDEFINED, "mean": UNDEFINED, "sd": "--", "n": "0"}


def macro_names(names: Iterable[str]) -> dict[str, str]:
    """What each name is called in macros: itself, in any script, but for what TeX reads otherwise (spaces, braces, #,
    %, …), which is a hyphen. Of names that would then be one, those that it is not have the start of their SHA-256
    behind them."""
    names = list(dict.fromkeys(names))
    plain = {name: "".join(map(_in_a_name, unicodedata.normalize("NFC", name))) for name in names}
    times = Counter(plain.values())
    return {
        name: safe if times[safe] == 1 or safe == name else f"{safe}-{short_hash(name)}" for name, safe in plain.items()
    }


def _in_a_name(c: str) -> str:
    if c.isascii():
        return c if c.isalnum() or c in "_@.:+=/-" else "-"
    return "-" if unicodedata.category(c)[0] in "CZ" else c


def _one_line(name: str) -> str:
    """A name in a comment, where nothing of it is a command either."""
    plain = "".join(c if c.isprintable() else " " for c in name.replace("\\", "\\textbackslash "))
    return " ".join(plain.split())

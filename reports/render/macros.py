"""numbers.tex: a macro for every aggregate, so that prose never goes stale; and run.bib, the run as a reference."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

from reports.analysis.analysis import Analysis
from reports.analysis.contrasts import Contrast
from reports.analysis.statistics import Summary
from reports.analysis.summaries import summary_of
from reports.model.document import short_hash
from reports.model.writing import count, unit_for
from reports.render.templating import latex_environment
from reports.results import COST_COLUMNS, NO_SCORE, Results, select
from reports.scales import UNDEFINED, Scale

_KINDS = {"bytes": "bytes", "seconds": "seconds"}


def numbers(analysis: Analysis) -> str:
    """Of all results, whatever the document's topic."""
    whole = analysis.everything
    results, found = whole.results, {(c.backbone, c.label, c.task): c for c in whole.contrasts}
    names = {kind: macro_names(of) for kind, of in (("backbone", results.backbones), ("label", results.labels),
                                                    ("task", results.tasks))}  # fmt: skip
    lines = [f"% In names, '{_one_line(name)}' is {safe}" for of in names.values() for name, safe in of.items()
             if name != safe]  # fmt: skip
    names["label"][""] = names["task"][""] = ""

    def define(what: str, backbone: str, label: str, task: str, value: str) -> None:
        """Under the backbone's name, and without it for the first backbone."""
        of = f"{names['label'][label]}|{names['task'][task]}"
        first = [""] if backbone == results.backbones[0] else []
        lines.extend(f"\\benchdefine{{{what}|{on}|{of}}}{{{value}}}" for on in (names["backbone"][backbone], *first))

    for backbone in results.backbones:
        for label in results.labels:
            cells = select(results.scored, backbone=backbone, label=label)
            for task in results.tasks:
                own = whole.scored.cells(backbone, task, label)
                scale = results.scale(task)
                scores = _scores(own, scale) or _undefined(results, backbone, label, task)
                for what, value in {**scores, **_difference(found.get((backbone, label, task)), scale)}.items():
                    define(what, backbone, label, task, value)
                for column in COST_COLUMNS:
                    summary, _ = whole.scored.of(column, backbone, task, label)
                    if summary.n:
                        define(f"cost|{column}", backbone, label, task, quantity(column, summary.mean))
            parameters, _ = summary_of(cells, "adapter_parameters")
            if parameters.n:
                define("parameters", backbone, label, "", count(parameters.mean))
            percent, _ = summary_of(cells, "percent")
            if percent.n:
                define("percent", backbone, label, "", f"{percent.mean:.3g}\\,\\%")
            peak, _ = summary_of(cells, "peak_memory_bytes")
            if peak.n:
                define("peakmemory", backbone, label, "", f"{peak.mean / 1e6:,.0f}\\,MB")
    return latex_environment().get_template("numbers.tex.jinja").render(lines=lines)


def quantity(column: str, value: float) -> str:
    """A cost with its unit, as LaTeX."""
    kind = _KINDS.get(column.rpartition("_")[2])
    if kind is None:
        return count(value)
    unit = unit_for(kind, [value])
    return f"{value * unit.factor:,.{unit.decimals}f}\\,{unit.name}".replace("µ", "\\textmu ")


def _scores(cells, scale: Scale) -> dict[str, str]:
    score, _ = summary_of(cells, "score")
    if not score.n:
        return {}
    found = {"score": _with_spread(score, scale), "mean": _tex(scale.text(score.mean)), "n": str(score.n),
             "sd": "--" if score.sd is None else scale.spread(score.sd)}  # fmt: skip
    validation, _ = summary_of(cells, "validation_score")
    return found | ({"validation": _with_spread(validation, scale)} if validation.n else {})


def _undefined(results: Results, backbone: str, label: str, task: str) -> dict[str, str]:
    """What stands for a score where every record's is undefined."""
    cells = select(results.cells, backbone=backbone, label=label, task=task, status=NO_SCORE)
    return {} if cells.empty else {"score": UNDEFINED, "mean": UNDEFINED, "sd": "--", "n": "0"}


def _difference(contrast: Contrast | None, scale: Scale) -> dict[str, str]:
    if contrast is None:
        return {}
    found = contrast.comparison
    sign = _tex(scale.text(found.mean, signed=True))
    return {"difference": sign + ("" if found.sd is None else f"\\,$\\pm$\\,{scale.spread(found.sd)}")}


def _with_spread(score: Summary, scale: Scale) -> str:
    return _tex(scale.text(score.mean)) + ("" if score.sd is None else f"\\,$\\pm$\\,{scale.spread(score.sd)}")


def _tex(number: str) -> str:
    return number.replace("−", "$-$")


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

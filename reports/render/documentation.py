"""Pages of docs/ that report runs of ours: templates in templates/docs, whose holes are filled from records."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from datetime import datetime

import jinja2
import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.tuning import Tuned
from reports.model.resources import TEMPLATES
from reports.model.writing import count, decimal, learning_rate, plural, score, spread, with_spread
from reports.results import environment_of, select

LINE = 120


class Run:
    """What a page says of one run: names, numbers, and numbers as they are written. Scores are in the unit of their
    task, costs are medians over the seeds."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis, self.results = analysis, analysis.results
        self.suite = self.results.name
        self.backbone = self.results.backbones[0]
        self.labels, self.tasks = self.results.labels, self.results.tasks
        self.seeds = sorted({int(seed) for seed in self.results.cells["seed"]})
        records = list(self.results.records.values())
        self.environment = environment_of(records[0])
        device = self.environment.get("device", "cpu")
        cores = f"{self.environment.get('processor')}, {self.environment.get('cores')} cores"
        self.machine = cores if device == "cpu" else f"{device}; {cores}"
        self.commits = sorted({str(record.environment.get("commit") or "unknown")[:7] for record in records})
        began = min(datetime.fromisoformat(record.started) for record in records)
        ended = max(datetime.fromisoformat(record.finished) for record in records)
        self.date = began.date().isoformat()
        self.elapsed = (ended - began).total_seconds()
        self.trained = sum(record.seconds for record in records)

    def rows(self, label: str, task: str) -> pd.DataFrame:
        """The scored cells of a configuration on a task."""
        return select(self.results.scored, backbone=self.backbone, label=label, task=task)

    def score(self, label: str, task: str) -> str:
        """Mean and standard deviation over seeds of the test score."""
        found, _ = self.analysis.scored.of("score", self.backbone, task, label)
        return with_spread(found, self.results.scale(task).unit) if found.n else "–"

    def mean(self, label: str, task: str, column: str = "score") -> float:
        """NaN where there is none."""
        return self.analysis.scored.of(column, self.backbone, task, label)[0].mean

    def median(self, label: str, task: str, column: str) -> float:
        """Over the seeds; NaN where there is none."""
        return float(self.rows(label, task)[column].median())

    def span(self, column: str) -> tuple[float, float]:
        """The least and the greatest of a column over all cells that have it; NaN where none has."""
        found = self.results.scored[column]
        return float(found.min()), float(found.max())

    def by_seed(self, label: str, task: str) -> dict[int, float]:
        """Test scores, in the unit in which they are written."""
        rows, unit = self.rows(label, task), self.results.scale(task).unit
        return {int(seed): unit.factor * score for seed, score in zip(rows["seed"], rows["score"], strict=True)}

    def gains(self, label: str, over: str, task: str) -> list[float]:
        """By seed, in the unit in which scores are written."""
        own, other = self.by_seed(label, task), self.by_seed(over, task)
        return [own[seed] - other[seed] for seed in sorted(own.keys() & other.keys())]

    def uses(self, task: str, what: str) -> int:
        """The most examples (`train`, `validation`, `test`) or `steps` that a cell of the task had."""
        records = (record for record in self.results.records.values() if record.cell.task == task and record.data)
        return int(max(getattr(record.data, what) for record in records))

    def budget(self, task: str, what: str) -> int | float:
        """A value of the task's budget."""
        cell = next(cell for cell in self.results.manifest.cells.values() if cell.task == task)
        value: int | float = getattr(cell.budget, what)
        return value

    def hyperparameter(self, label: str, name: str = "lr") -> float | None:
        """None where the method only prompts."""
        cell = next(cell for cell in self.results.manifest.cells.values() if cell.label == label)
        return cell.hyperparameters.get(name) if self.results.trains(label) else None

    def merges(self, label: str) -> bool:
        """Whether any of its cells was measured merged."""
        return bool(select(self.results.scored, label=label)["merged_latency"].notna().any())

    def sampling_error(self, task: str) -> float | None:
        """The binomial standard error of the best mean accuracy, in points; None of another metric."""
        found = next((each for each in self.analysis.limits.sampling if each.task == task), None)
        return 100 * found.error if found else None

    @property
    def searches(self) -> list[Tuned]:
        """What was searched, where the run is a search."""
        return self.analysis.tuned

    def validation(self, search: Tuned) -> str:
        """The chosen trial's score, with its standard error over examples where that is known."""
        scale = self.results.scale(search.search.task)
        error = "" if search.error is None else f" ± {spread(search.error, scale.unit)}"
        return score(search.score, scale) + error

    def points(self, search: Tuned, held: float | None) -> str:
        """A difference of scores, in the unit in which they are written."""
        return "–" if held is None else spread(held, self.results.scale(search.search.task).unit)

    def tried(self, search: Tuned) -> list[tuple[float, str]]:
        """The value of every trial, from the lowest, and its score where it ended, with that place where it was early;
        the chosen one in bold."""
        name, scale = search.search.space[0].name, self.results.scale(search.search.task)
        found = []
        for trial in sorted(search.search.trials, key=lambda trial: trial.values[name]):
            end = 1.0 if trial.at(1.0).done else search.search.stopped(trial)
            value = trial.at(end).score
            said = "failed" if value is None else score(scale.raw(value), scale)
            said += f" ({decimal(100 * end, 0)} %)" if end < 1 and value is not None else ""
            found.append((trial.values[name], f"**{said}**" if trial == search.chosen else said))
        return found


def page(template: str, runs: Mapping[str, Analysis | None]) -> str:
    """The page of a template (`docs/<name>.md.jinja`), from runs by suite; None for those of which there are no
    records."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters |= {
        "fixed": decimal,
        "signed": lambda value, digits: decimal(value, digits, signed=True),
        "rate": rate,
        "short_rate": learning_rate,
        "count": count,
        "duration": duration,
        "wrapped": wrapped,
    }
    environment.tests["merging"] = lambda label, run: run.merges(label)
    known = {suite: Run(analysis) if analysis else None for suite, analysis in runs.items()}
    text = environment.get_template(template).render(runs=known, plural=plural, isnan=math.isnan)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def rate(value: float) -> str:
    """A learning rate as suites have it: 5e-5, 1.5e-3."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def duration(seconds: float) -> str:
    """ "27 min 18 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest} s"


def wrapped(text: str) -> str:
    """Paragraphs with lines of at most LINE characters."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    return "\n\n".join(textwrap.fill(each, LINE, break_long_words=False, break_on_hyphens=False) for each in paragraphs)

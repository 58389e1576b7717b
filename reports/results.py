"""From a results folder to tidy frames: one row per cell of the suite, whether or not it ran."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from records.cards import BackboneCard, MethodCard, TaskCard
from records.cell import Cell
from records.record import Manifest, Parameters, Published, Record
from records.store import RecordStore
from records.vocabulary import FAMILIES, METRICS, QUANTITIES
from reports.cost_columns import COST_COLUMNS, GLANCES, LATENCIES, RATES, costs_of
from reports.scales import UNDEFINED, Scale, may_be_averaged, read_scale

SCORED = ("trained", "ok")
NOT_RUN = "not run"
# A trial of a search that was cut short, as it was meant to be.
STOPPED = "stopped"

PARAMETER_COLUMNS = {name: name if name == "percent" else f"{name}_parameters" for name in Parameters.model_fields}


@dataclass(frozen=True)
class Results:
    """A results folder, read.

    `cells` has one row per cell of the suite, indexed by id: backbone, method, label, family, task, seed, status (a
    record's, or "not run", "stopped", or "undefined" where the record's score is), reason, `score` (the task's primary
    test metric as `reports.scales` holds it, so that more is better; NaN if there is none), `validation_score`,
    wall_seconds, `best_lr` (where a search has found it), `adapter_parameters`, `head_parameters`, `total_parameters`,
    `backbone_parameters`, `percent`, `general_loss` (nats per byte of general text, by the bare backbone) and
    `forgotten` (how much it rose with tuning), and every figure of `records.record.Cost` under its own name (NaN where
    not measured). Seeds may share a profile, the id of whose cell is in `profile`: the first of them has its figures,
    so that none counts twice. Machines drift by more than methods differ: `latency`, `merged_latency` and
    `deployed_latency` (merged where the method can be merged, else with it in place) are therefore over the plain
    backbone's, which was timed beside them (so are glances at other shapes, `GLANCES`), and `step_ratio` is the time of
    a training step over the yardstick's, from which `step_seconds` and `train_tokens_per_second` follow, at one speed
    for all. `history` has one row per
    evaluation of a scored cell: id, backbone, label, task, seed, step, phase, train_loss, validation_loss, `score`
    (validation, held likewise). `scales` has the scale of every task's primary metric.
    `backbones`, `tasks` and `labels` are in the order of the suite, labels grouped by family.
    """

    root: Path
    manifest: Manifest
    records: dict[str, Record]
    cells: pd.DataFrame
    history: pd.DataFrame
    backbones: tuple[str, ...]
    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    scales: dict[str, Scale] = field(default_factory=dict)

    @property
    def suite(self) -> dict[str, Any]:
        """The suite as the manifest has it: plain data, of a stranger perhaps."""
        return self.manifest.suite

    @property
    def name(self) -> str:
        """The suite's name."""
        return str(self.suite.get("name") or self.root.name)

    @property
    def scored(self) -> pd.DataFrame:
        """The cells that have a score."""
        return self.cells[self.cells["score"].notna()]

    @property
    def costed(self) -> pd.DataFrame:
        """The cells of whose cost something was measured, be it with another seed's."""
        return self.cells[self.cells["profile"].notna()]

    def rounds(self, cell: str, column: str) -> list[float]:
        """By what a figure of a cell's profile is multiplied to have that of each round of timing; empty where it was
        not timed in rounds."""
        record, quantity = self.records.get(cell), QUANTITIES[column]
        if record is None or (cost := record.cost) is None:
            return []
        name = quantity.rounds
        if column == "deployed_latency":
            name = "inference" if cost.merged_inference_seconds is None else "merged"
        rounds = cost.rounds.get(name, []) if name else []
        middle = statistics.median(rounds) if rounds else 1.0
        return [middle / one if quantity.higher_is_better else one / middle for one in rounds]

    @property
    def published(self) -> list[Published]:
        """Where the records come from that others published, in the order of the cells; empty for a run of ours."""
        records = (self.records.get(cell) for cell in self.manifest.cells)
        return [record.published for record in records if record is not None and record.published is not None]

    def method_of(self, label: str) -> str:
        """The method that a label configures."""
        return str(self.cells.loc[self.cells["label"] == label, "method"].iloc[0])

    def family_of(self, label: str) -> str:
        """The family of a label's method."""
        return str(self.cells.loc[self.cells["label"] == label, "family"].iloc[0])

    @property
    def cards(self) -> list[MethodCard | TaskCard | BackboneCard]:
        """All of them."""
        cards = self.manifest.cards
        return [*cards.methods.values(), *cards.tasks.values(), *cards.backbones.values()]

    def method_card(self, name: str) -> MethodCard:
        """A card with nothing on it where the manifest has none; so for tasks and backbones."""
        return self.manifest.cards.methods.get(name) or MethodCard(name, "", "", "", "", "", "")

    def task_card(self, name: str) -> TaskCard:
        """With nothing on it where the manifest has none."""
        return self.manifest.cards.tasks.get(name) or TaskCard(name, "", "", (), "", "", "", "")

    def backbone_card(self, name: str) -> BackboneCard:
        """With nothing on it where the manifest has none."""
        return self.manifest.cards.backbones.get(name) or BackboneCard(name, "", "", "", "")

    def title(self, kind: Literal["methods", "tasks", "backbones"], name: str) -> str:
        """A card's title. Of several cards with one title, what tells their names apart stands beside it."""
        titles = {of: card.title or of for of, card in getattr(self.manifest.cards, kind).items()}
        title = titles.get(name, name)
        alike = [other for other, its in titles.items() if its == title]
        return f"{title} ({told_apart(name, alike)})" if len(alike) > 1 and title != name else title

    def scale(self, task: str) -> Scale:
        """How the scores of a task are written."""
        return self.scales.get(task, Scale())

    @property
    def highest(self) -> str:
        """What the best score is called."""
        return "highest" if all(self.scale(task).higher_is_better for task in self.tasks) else "best"

    def averaged(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """Those of the tasks over which scores may be averaged."""
        return may_be_averaged({task: self.scale(task) for task in tasks})

    def metric_key(self, task: str) -> str:
        """The primary metric, as records name it."""
        return str((self.task_card(task).metrics or ("score",))[0])

    def metric(self, task: str) -> str:
        """The primary metric's name, in words."""
        key = self.metric_key(task)
        return METRICS.get(key, key.replace("_", " "))

    @property
    def profiles(self) -> bool:
        """Whether the suite has the cost of its cells profiled."""
        return self.suite.get("profile", True) is not False

    @property
    def headed(self) -> bool:
        """Whether any cell has a task head: else the language model's own words are the answers."""
        return any(cell.form == "head" for cell in self.manifest.cells.values())

    @property
    def untrained(self) -> list[str]:
        """The labels that only prompt."""
        return [label for label in self.labels if not self.trains(label)]

    def trains(self, label: str) -> bool:
        """False for prompting: its cells have no trainable parameter."""
        known = self.cells.loc[self.cells["label"] == label, "total_parameters"].dropna()
        return known.empty or bool(known.max() > 0)

    @property
    def reference(self) -> str | None:
        """The label that others are compared with: full fine-tuning, where the suite has it; tuned, where it was."""
        found = [label for label in self.labels if self.method_of(label) == "full"]
        return next((label for label in found if label in self.tuned), next(iter(found), None))

    @property
    def trials(self) -> int:
        """How many trials a search gave each method; 1 where there was none, or their number cannot be read."""
        asked = self.suite.get("tuning")
        trials = asked.get("trials") if isinstance(asked, dict) else None
        return trials if isinstance(trials, int) and trials > 0 else 1

    @property
    def tuned(self) -> dict[str, str]:
        """The labels whose hyperparameters a search has found, each with that of the same as the suite gives it."""
        told = self.suite.get("tuned")
        pairs = told.items() if isinstance(told, dict) else ()
        return {str(of): str(given) for of, given in pairs if of in self.labels and given in self.labels}

    def environments(self) -> list[tuple[dict[str, Any], list[str]]]:
        """The distinct environments of the records, each with the ids of its cells, the commonest first. Under
        `profiled` an environment has what was another when cost was profiled."""
        found: list[tuple[dict[str, Any], list[str]]] = []
        for cell_id, record in self.records.items():
            if not (own := environment_of(record)):
                continue
            for environment, ids in found:
                if environment == own:
                    ids.append(cell_id)
                    break
            else:
                found.append((own, [cell_id]))
        return sorted(found, key=lambda pair: -len(pair[1]))


def read(root: Path) -> Results:
    """Raises ResultsError where the folder holds no results, or a record or card that cannot be used."""
    store = RecordStore(root)
    manifest = store.manifest()
    records = {record.id: record for record in store.records()}
    scales = _scales(manifest, records)
    rows, evaluations = [], []
    told: set[str] = set()  # the profiles that a row before has told
    for cell_id, cell in manifest.cells.items():
        record = records.get(cell_id)
        family = _family(manifest, cell.method)
        row = {"id": cell_id, "family": family} | _row(cell, record, manifest, scales)
        if row["profile"] is not None and row["profile"] not in told and record is not None and record.cost is not None:
            told.add(row["profile"])
            row |= costs_of(record.cost)
        rows.append(row)
        if record is not None and record.status in SCORED:
            for line in record.history:
                evaluations.append(
                    {
                        "id": cell_id,
                        **{name: getattr(cell, name) for name in ("backbone", "label", "task", "seed")},
                        **{name: getattr(line, name) for name in ("step", "phase", "train_loss")},
                        "validation_loss": line.validation_loss,
                        "score": _primary(line.validation, cell.task, manifest, scales),
                    }
                )
    columns = ["id", "backbone", "label", "task", "seed", "step", "phase", "train_loss", "validation_loss"]
    # Columns in which every cell is empty are columns of numbers all the same.
    cells = pd.DataFrame(rows, columns=_COLUMNS).astype(dict.fromkeys(_NUMBERS, float)).set_index("id")
    cells = _at_one_speed(cells, records)
    rank = {family: number for number, family in enumerate(FAMILIES)}
    families = dict(zip(cells["label"], cells["family"], strict=True))
    return Results(
        root=root,
        manifest=manifest,
        records=records,
        cells=cells,
        history=pd.DataFrame(evaluations, columns=[*columns, "score"]),
        backbones=_unique(cells["backbone"]),
        tasks=_unique(cells["task"]),
        labels=tuple(sorted(_unique(cells["label"]), key=lambda label: rank.get(families[label], len(rank)))),
        scales=scales,
    )


def _at_one_speed(cells: pd.DataFrame, records: dict[str, Record]) -> pd.DataFrame:
    """Times of training as if all cells of one backbone and protocol had met the machine at the same speed: the median
    yardstick's, times a cell's own ratio to its own."""
    cells["step_ratio"] = cells["step_seconds"] / cells["yardstick_seconds"]
    timed = cells[cells["step_ratio"].notna()]
    protocols = [json.dumps(cost.protocol, sort_keys=True) for cell in timed.index if (cost := records[cell].cost)]
    common = timed.groupby([timed["backbone"], protocols])["yardstick_seconds"].transform("median")
    speed = common / timed["yardstick_seconds"]
    cells.loc[timed.index, "step_seconds"] *= speed
    cells.loc[timed.index, "train_tokens_per_second"] /= speed
    return cells.copy()  # of columns that were added one by one pandas warns later


def environment_of(record: Record) -> dict[str, Any]:
    """Where a record comes from. What is not of the shape that we write is left out."""
    parts = [
        {key: value for key, value in part.items() if key != "versions" or isinstance(value, dict)}
        for part in (record.environment, record.profiled)
    ]
    return parts[0] | ({"profiled": parts[1]} if parts[1] else {})


def select(cells: pd.DataFrame, **where: str) -> pd.DataFrame:
    """The rows whose columns have the given values."""
    for column, value in where.items():
        cells = cells[cells[column] == value]
    return cells


_IDENTITY = ("backbone", "method", "label", "task", "seed")
_NUMBERS = (
    "score",
    "validation_score",
    "wall_seconds",
    "best_lr",
    "general_loss",
    "forgotten",
    *PARAMETER_COLUMNS.values(),
    *COST_COLUMNS,
    "step_ratio",
    *LATENCIES,
    *GLANCES,
    *RATES,
)
_COLUMNS = [
    "id",
    "family",
    *_IDENTITY,
    "status",
    "reason",
    "profile",
    *_NUMBERS,
]


def _row(cell: Cell, record: Record | None, manifest: Manifest, scales: dict[str, Scale]) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(cell, name) for name in _IDENTITY} | {"profile": None}
    if record is None:
        return row | {"status": NOT_RUN, "reason": None}
    row |= {"status": record.status, "reason": record.reason, "wall_seconds": record.seconds}
    told = manifest.suite.get("tuned")
    if isinstance(told, dict) and cell.label in told:
        rate = cell.hyperparameters.get("lr")
        row["best_lr"] = rate if isinstance(rate, (int, float)) else None
    if record.status not in SCORED:
        return row
    if record.cost is not None:
        row["profile"] = record.profile_of or record.id
    row["score"] = _primary(record.test, cell.task, manifest, scales)
    row["validation_score"] = _primary(record.validation, cell.task, manifest, scales)
    if cell.stop is not None:
        row |= {
            "score": None,
            "status": STOPPED,
            "reason": f"stopped at {cell.stop:.0%} of its steps, and never tested",
        }
    elif row["score"] is None or math.isnan(row["score"]):
        row |= {"status": UNDEFINED, "reason": _why_undefined(record.test, cell.task, manifest)}
    if record.forgetting.keys() >= {"before", "after"}:
        before = record.forgetting["before"]
        row |= {"general_loss": before, "forgotten": record.forgetting["after"] - before}
    if record.parameters is not None:
        row |= {column: getattr(record.parameters, name) for name, column in PARAMETER_COLUMNS.items()}
    return row


def _scales(manifest: Manifest, records: dict[str, Record]) -> dict[str, Scale]:
    """By task, with the digits that its scores ask for."""
    found = {}
    for task in _unique(cell.task for cell in manifest.cells.values()):
        card = manifest.cards.tasks.get(task)
        metric = _primary_name({}, task, manifest)
        found[task] = read_scale(card, metric, metric_values(records.values(), task, metric))
    return found


def metric_values(records: Iterable[Record], task: str, metric: str) -> list[float]:
    """A metric's values on the test split of a task, as far as records have them."""
    return [record.test[metric] for record in records if record.cell.task == task and metric in record.test]


def _family(manifest: Manifest, method: str) -> str:
    card = manifest.cards.methods.get(method)
    return card.family if card and card.family else "other"


def _primary(metrics: dict[str, float], task: str, manifest: Manifest, scales: dict[str, Scale]) -> float | None:
    """The primary metric, held such that more is better; NaN where it is infinite, too."""
    name = _primary_name(metrics, task, manifest)
    if name not in metrics:
        return None
    return scales[task].raw(metrics[name]) if math.isfinite(metrics[name]) else math.nan


def _primary_name(metrics: dict[str, float], task: str, manifest: Manifest) -> str:
    card = manifest.cards.tasks.get(task)
    names = [str(name) for name in (card.metrics if card else ())] or list(metrics)
    return names[0] if names else "score"


def _why_undefined(metrics: dict[str, float], task: str, manifest: Manifest) -> str:
    name = _primary_name(metrics, task, manifest)
    if name not in metrics:
        return f"the record has no value of the primary metric, {name}"
    return f"the primary metric, {name}, is {'not a number' if math.isnan(metrics[name]) else 'infinite'}"


def told_apart(name: str, among: Iterable[str]) -> str:
    """The shortest end of a name, cut at slashes, that none of the others has: of a/tiny and b/tiny, a/tiny."""
    parts = re.split(r"[/\\]+", name)
    others = [re.split(r"[/\\]+", other) for other in among if other != name]
    for n in range(1, len(parts)):
        if all(other[-n:] != parts[-n:] for other in others):
            return "/".join(parts[-n:])
    return name


def _unique(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for value in values))

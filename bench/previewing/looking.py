"""The examples of a suite as its models will read them, and what of them is suspicious.

All comes from what training uses: the same form makes the features, `prepare` draws them, and the examples shown are
those of the first training batches. Of a backbone only the tokenizer is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.backbones import BackboneError
from bench.backbones.vocabulary import unknown_share
from bench.contract import DataError
from bench.data import TaskData, prepare, train_loader
from bench.forms.base import Form, NoSuchForm, encoded
from bench.forms.choice import form_of
from bench.forms.text import LanguageModelling
from bench.previewing.reading import Part, is_lost, label, parts
from records.cell import MOST, Budget
from records.text import described
from tasks.base import TaskUnavailable

if TYPE_CHECKING:
    from datasets import Dataset

    from bench.axes import TaskEntry
    from bench.backbones import Backbone
    from bench.suite import Suite

# Beyond these shares of texts cut, and of tokens unknown, a line says so.
MOST_CUT, MOST_UNKNOWN = 0.05, 0.01
# From this ratio of the commonest class to the rarest on, classes count as imbalanced (Fernández et al., 2008).
IMBALANCED = 9
# Shares of the texts that are no longer than what is shown for them.
QUANTILES = (0.05, 0.5, 0.95, 1.0)
# What begins those of a task's notes that may be a mistake of the user's.
WARNING = "warning: "
# Labels that are named in a line.
NAMED = 6


@dataclass(frozen=True)
class Example:
    """One of the training split: its id, the raw text, what is read of it, what is to be learnt, and how many tokens
    the cut left out."""

    id: str
    text: str
    parts: list[Part]
    tokens: list[list[str]]
    label: str
    left_out: int


@dataclass(frozen=True)
class Split:
    """`there` counts the examples that the task has, `used` those that the budget draws. `cut` and `unknown` are shares
    of the latter's texts and tokens, None where nothing is cut or nothing can be unknown; `lengths` are the tokens of
    uncut texts at `QUANTILES`, `labels` the examples (or words) by label, `lost` answers beyond the cut."""

    there: int
    used: int
    cut: float | None
    unknown: float | None
    lengths: tuple[int, ...]
    labels: dict[str, int] = field(default_factory=dict)
    lost: int = 0


@dataclass(frozen=True)
class Preview:
    """A task as a backbone will read it; where it cannot, `reason` says why, and the rest is empty. `special` are the
    special tokens among those of the examples."""

    task: str
    backbone: str
    said: str
    examples: list[Example] = field(default_factory=list)
    special: frozenset[str] = frozenset()
    splits: dict[str, Split] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    reason: str | None = None
    fails: bool = False

    def _repr_html_(self) -> str:
        from bench.notebooks import html_of
        from bench.previewing.commands import show

        return html_of(lambda console: show(console, self))


def previews(suite: Suite, tasks: Collection[str] = (), count: int = 3) -> Iterator[Preview]:
    """Every task, or those named, for every backbone, with so many examples of the first seed. Loads no weights."""
    for spec, backbone in suite.axes.backbones.items():
        for name, entry in suite.axes.tasks.items():
            if tasks and name not in tasks:
                continue
            try:
                yield _preview(suite, name, entry, backbone, count)
            except NoSuchForm as reason:
                yield Preview(name, spec, "", reason=f"does not apply: {reason}")
            except (BackboneError, DataError, TaskUnavailable) as error:
                yield Preview(name, spec, "", reason=str(error), fails=True)
            except Exception as error:  # whatever a plugin's data lead to
                yield Preview(name, spec, "", reason=f"cannot be read: {described(error)}", fails=True)


def _preview(suite: Suite, name: str, entry: TaskEntry, backbone: Backbone, count: int) -> Preview:
    budget, seed = entry.budget, suite.file.seeds[0]
    tokenizer = backbone.tokenizer()

    def form_within(budget: Budget) -> Form:
        return form_of(entry.task, tokenizer, budget, entry.form, (), backbone.encodes_and_decodes)

    form = form_within(budget)
    if form.head.kind == "language" and not backbone.generates:
        raise NoSuchForm("the backbone is an encoder, which has no text to answer with")
    data = prepare(form, budget, seed, backbone.positions, entry.plugin.revision)
    # Within this one nothing is cut.
    whole = form_within(budget.model_copy(update={"max_length": MOST, "max_target_length": MOST}))
    looks = {split: _Look(data, split, whole, data.rows.split(split)) for split in ("train", "validation", "test")}
    splits = {split: look.split() for split, look in looks.items()}
    told: dict[bool, list[str]] = {True: [], False: []}
    for note in entry.task.notes():
        told[note.startswith(WARNING)].append(note.removeprefix(WARNING))
    warned = [*told[True], *_warnings(splits, budget, data), *_alike(data)]
    return Preview(
        task=name,
        backbone=backbone.spec,
        said=_said(entry, form, seed),
        examples=_first(data, looks["train"], budget, seed, count),
        special=frozenset(form.tokenizer.all_special_tokens),
        splits=splits,
        notes=[*told[False], *_changed(suite)],
        warnings=warned,
    )


def _said(entry: TaskEntry, form: Form, seed: int) -> str:
    how = {
        "sequence": "under a fresh head that reads the whole text",
        "token": "under a fresh head that reads every token",
        "language": "in words, with the language model's own head",
    }[form.head.kind]
    return f"{entry.task.kind} {how}; at most {form.max_length} tokens; seed {seed}"


def _changed(suite: Suite) -> Iterator[str]:
    """What methods put beside what is shown."""
    for name, entry in suite.axes.methods.items():
        if shots := entry.method.demonstrations():
            yield f"{name} puts {shots} training examples with their answers before each; shown is the form without"
        elif vectors := entry.method.extra_positions:
            yield f"{name} puts {vectors} vectors of its own into the input; shown is the form without"


class _Look:
    """One split of a task: its drawn features, its raw rows, and what these come to where nothing is cut."""

    def __init__(self, data: TaskData, split: str, whole: Form, raw: Dataset) -> None:
        self.form, self.there = data.form, len(raw)
        self.drawn: Dataset = getattr(data, split)
        self.cuts = not isinstance(data.form, LanguageModelling)
        ids = set(map(_example, self.drawn["example"]))
        # The row's values in canonical columns, by its id.
        self.raw = {row["example"]: row for row in raw.select([i for i, e in enumerate(raw["example"]) if e in ids])}
        columns = {name: [row[name] for row in self.raw.values()] for name in raw.column_names}
        features = encoded(whole, columns)
        self.whole: dict[str, int] = {}
        self.lengths: list[int] = []
        for values in zip(*features.values(), strict=True):
            row = dict(zip(features, values, strict=True))
            self.whole[_example(row["example"])] = _size(whole, row)
            self.lengths.append(len(row["input_ids"]))

    def split(self) -> Split:
        cut = lost = 0
        for row in self.drawn:
            cut += self.left_out(row) > 0
            lost += is_lost(self.form, row)
        return Split(
            there=self.there,
            used=len(self.drawn),
            cut=cut / len(self.drawn) if self.cuts else None,
            unknown=unknown_share(self.form.tokenizer, self.drawn["input_ids"]),
            lengths=tuple(np.quantile(self.lengths, QUANTILES, method="higher").tolist()),
            labels=self._labels(),
            lost=lost,
        )

    def left_out(self, row: dict[str, Any]) -> int:
        """Tokens of an example that the cut leaves out."""
        return self.whole[_example(row["example"])] - _size(self.form, row) if self.cuts else 0

    def _labels(self) -> dict[str, int]:
        names = self.form.task.card.labels
        if self.form.task.kind == "classification":
            counts = Counter(row["label"] for row in self.raw.values())
        elif self.form.task.kind == "tagging":
            counts = Counter(tag for row in self.raw.values() for tag in row["label"])
        else:
            return {}
        return {name: counts[index] for index, name in enumerate(names)}


def _example(found: str) -> str:
    """The id of the example that a row of features was made of: a window's has its place behind it."""
    return found.partition(":")[0]


def _size(form: Form, row: dict[str, Any]) -> int:
    return sum(len(part.ids) for part in parts(form, row))


def _first(data: TaskData, look: _Look, budget: Budget, seed: int, count: int) -> list[Example]:
    """Examples of the first training batches, one of each, so that short and long ones are among them; where there are
    fewer batches, more of each."""
    _, sampler = train_loader(data.train, data.form, budget.batch_size, seed)
    sampler.set_epoch(0)
    batches = list(sampler)
    turns = (batch[turn] for turn in range(budget.batch_size) for batch in batches if turn < len(batch))
    found = []
    for _, index in zip(range(count), turns, strict=False):
        row = data.train[index]
        read = parts(data.form, row)
        raw = look.raw[_example(row["example"])]
        found.append(
            Example(
                id=row["example"],
                text=" ¶ ".join(_text(raw[name]) for name in ("text", "text_pair", "words") if raw.get(name)),
                parts=read,
                tokens=[data.form.tokenizer.convert_ids_to_tokens(part.ids) for part in read],  # type: ignore[misc]
                label=label(data.form, row),
                left_out=look.left_out(row),
            )
        )
    return found


def _text(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _warnings(splits: dict[str, Split], budget: Budget, data: TaskData) -> Iterator[str]:
    for name, split in splits.items():
        if split.cut is not None and split.cut > MOST_CUT:
            fits = f"95 % of them take no more than {split.lengths[2]:,} tokens"
            yield f"{name}: {split.cut:.0%} of the texts are cut at {budget.max_length} tokens; {fits}"
        if split.unknown is not None and split.unknown > MOST_UNKNOWN:
            yield f"{name}: {split.unknown:.1%} of the tokens are unknown to the tokenizer"
        if split.lost:
            yield f"{name}: {split.lost:,} answers lie beyond the cut"
        if missing := [of for of, count in split.labels.items() if not count]:
            yield f"{name}: no example of {_named(missing)} among its {split.used:,}"
        counts = sorted((count, of) for of, count in split.labels.items() if count)
        if data.form.task.kind == "classification" and counts and counts[-1][0] >= IMBALANCED * counts[0][0]:
            (few, rare), (many, common) = counts[0], counts[-1]
            yield (
                f"{name}: classes are imbalanced: {many:,} examples of {common!r}, {few:,} of {rare!r}; accuracy alone"
                " would mislead"
            )
    if splits["train"].used < budget.train_examples:
        yield f"train: the budget asks for {budget.train_examples:,} examples, and there are {splits['train'].used:,}"


def _alike(data: TaskData) -> Iterator[str]:
    """Examples of a later split that training has seen, word for word or as the model reads them."""
    if data.duplicates_removed:
        twice = "examples that stand in a later split too, and are left out of the earlier one"
        yield f"{twice}: {data.duplicates_removed:,}"
    trained = set(_read(data.form, data.train))
    for name, later in (("validation", data.validation), ("test", data.test)):
        if same := sum(key in trained for key in _read(data.form, later)):
            yield (
                f"{name}: {same:,} of its {len(later):,} examples read, token for token, as one of train does: what"
                " tells them apart is cut, or unknown to the tokenizer"
            )


def _read(form: Form, split: Dataset) -> list[tuple[tuple[int, ...], ...]]:
    return [tuple(sorted(tuple(part.ids) for part in parts(form, row))) for row in split]


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return ", ".join(map(repr, labels[:NAMED])) + more

"""Test examples and the answers to them as people read them: cut, printable, with names for labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from records.store import RecordStore, ResultsError
from records.text import one_line, printable
from reports.answers import Answers
from reports.results import Results

# Letters of an example's text, and of an answer.
LONGEST_TEXT, LONGEST_ANSWER = 300, 120


@dataclass(frozen=True)
class Said:
    """What a family answered to an example: the commonest answer of its cells, of the wrong ones where no more than
    half are right; where answers are free texts, that of its best cell on validation data. `value` is the mean over its
    `n` cells of their values (`reports.answers.Answers.values`)."""

    answer: str
    value: float
    n: int


@dataclass(frozen=True)
class Example:
    """One test example. `text` is empty where texts were not kept; long texts are cut. `value` is the mean of all
    cells' values. `wrong_alone` and `right_alone` name the family that stands alone, if one does: more than half
    of its answers are right and of each other family's not, or the other way round."""

    id: str
    text: str
    expected: str
    value: float
    said: dict[str, Said]
    wrong_alone: str | None = None
    right_alone: str | None = None
    wrong_by_all: bool = False


def label_name(results: Results, task: str, label: int) -> str:
    """A label's name; an answer that is none of the labels has none."""
    names = results.task_card(task).labels
    return cut_text(names[label], LONGEST_ANSWER) if 0 <= label < len(names) else "no label" if names else str(label)


def cut_text(value: object, longest: int) -> str:
    """One printable line of a text from a data set, whatever it holds."""
    text = str(value)
    line = one_line(printable(text[: 8 * longest]))
    return line if len(line) <= longest and len(text) <= 8 * longest else f"{line[: longest - 1].rstrip()}…"


class Writer:
    """Examples of one task as people read them."""

    def __init__(
        self,
        results: Results,
        answers: Answers,
        families: Sequence[str],
        validation: Mapping[str, float],
        texts: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.results, self.answers, self.texts = results, answers, texts
        assert answers.values is not None
        self.values = answers.values.mean(axis=0)
        self.of = np.array(families)
        self.names = tuple(dict.fromkeys(families))
        self.free: dict[str, dict[str, Any]] = {}
        self.references: dict[str, Any] = {}
        if answers.predicted is None:
            self._read_free(validation)

    def _read_free(self, validation: Mapping[str, float]) -> None:
        """The answers of each family's best cell on validation data, as they were kept."""

        def order(row: int) -> tuple[float, int]:
            score = validation.get(self.answers.labels[row], float("nan"))
            return (-score if np.isfinite(score) else np.inf, self.answers.seeds[row])

        for family in self.names:
            row = min(np.flatnonzero(self.of == family).tolist(), key=order)
            try:
                kept = RecordStore(self.results.root).predictions(self.results.records[self.answers.ids[row]])
            except ResultsError:
                kept = None
            if kept is not None:
                self.free[family] = dict(zip(kept.examples, kept.predictions, strict=True))
                self.references = self.references or dict(zip(kept.examples, kept.references, strict=True))

    def example(self, at: int, held: Mapping[str, np.ndarray], alone: Mapping[tuple[int, bool], np.ndarray]) -> Example:
        """The one at this place."""
        own, right = self.answers.examples[at], self.answers.right
        row = self.texts.get(own, {})
        stands = {wrong: self.names[i] for (i, wrong), places in alone.items() if at in places}
        expected = None if self.answers.expected is None else int(self.answers.expected[at])
        return Example(
            id=own,
            text=_text(row),
            expected=self._written(self.references.get(own) if expected is None else expected, row),
            value=float(self.values[at]),
            said={
                family: Said(self._said(family, at, row), float(values[at]), int((self.of == family).sum()))
                for family, values in held.items()
            },
            wrong_alone=stands.get(True),
            right_alone=stands.get(False),
            wrong_by_all=right is not None and not right[:, at].any(),
        )

    def _said(self, family: str, at: int, row: Mapping[str, Any]) -> str:
        if self.answers.predicted is None:
            return self._written(self.free.get(family, {}).get(self.answers.examples[at]), row)
        given, expected = Counter(self.answers.predicted[self.of == family, at].tolist()), self.answers.expected
        if expected is not None and 2 * given[int(expected[at])] <= given.total():
            del given[int(expected[at])]
        [(commonest, _)] = given.most_common(1)
        return self._written(int(commonest), row)

    def _written(self, value: Any, row: Mapping[str, Any]) -> str:
        match self.answers.kind, value:
            case _, None:
                return ""
            case "classification", int(label):
                return label_name(self.results, self.answers.task, label)
            case "multiple choice", int(choice):
                choices = row.get("choices")
                if isinstance(choices, list) and 0 <= choice < len(choices):
                    return cut_text(choices[choice], LONGEST_ANSWER)
                return f"choice {choice + 1}"
            case "tagging", list(tags):
                named = " ".join(label_name(self.results, self.answers.task, tag) for tag in tags[:LONGEST_ANSWER])
                return cut_text(named, LONGEST_ANSWER)
            case _, list(several):
                return cut_text(several[0] if several else "", LONGEST_ANSWER)
            case _, float(number):
                return f"{number:.3g}"
        return cut_text(value, LONGEST_ANSWER)


def _text(row: Mapping[str, Any]) -> str:
    """What there is to read in an example's columns."""
    if isinstance(words := row.get("words"), list):
        return cut_text(" ".join(map(str, words[:LONGEST_TEXT])), LONGEST_TEXT)
    parts = [row[name] for name in ("text", "text_pair") if isinstance(row.get(name), str) and row[name]]
    parts = parts or [value for value in row.values() if isinstance(value, str)]
    return cut_text(" / ".join(part[: 8 * LONGEST_TEXT] for part in parts), LONGEST_TEXT)

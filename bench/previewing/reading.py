"""What a model reads of one example, from the very features that training collates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.forms.mixture import Mixture
from bench.forms.sequence import MultipleChoice, Regression
from bench.forms.text import LanguageModelling, Likelihood, Prompted
from bench.forms.token import IGNORED, NOWHERE, ExtractiveQA, Tagging

if TYPE_CHECKING:
    from bench.forms.base import Form

Features = Mapping[str, Any]


class Part(NamedTuple):
    """Token ids that a model reads in one go, or as one after the other: an `input`, the `prompt` and the `answer` of a
    language model, a `choice`, an `other answer` that is scored and not trained on."""

    role: str
    ids: list[int]


def parts(form: Form, row: Features) -> list[Part]:
    """All that is read of an example, padding left out."""
    form, row = _own(form, row)
    if isinstance(form, Likelihood):
        others = [ids for index, ids in enumerate(row["choices"]) if index != row["label"]]
        asked = [Part("prompt", row["context"]), Part("answer", row["target"])]
        return [*asked, *(Part("other answer", ids) for ids in others)]
    if isinstance(form, Prompted):
        return [Part("prompt", row["context"]), Part("answer", row["target"])]
    if isinstance(form, MultipleChoice):
        return [Part(f"choice {number}", ids) for number, ids in enumerate(row["choices"], 1)]
    return [Part("input", row["input_ids"])]


def label(form: Form, row: Features) -> str:
    """What is to be learnt of an example, in words."""
    form, row = _own(form, row)
    names = form.task.card.labels
    if form.task.kind == "classification":
        return names[row["label"]]
    if isinstance(form, Regression):
        return f"{row['label']:g}"
    if form.task.kind == "multiple choice":
        return f"choice {row['label'] + 1}"
    if isinstance(form, Tagging):
        tokens = form.tokenizer.convert_ids_to_tokens(row["input_ids"])
        tagged = zip(row["places"], row["label"], strict=True)
        return " ".join(f"{tokens[place]}={names[tag]}" for place, tag in tagged if place != NOWHERE)
    if isinstance(form, ExtractiveQA):
        return _span(form, row)
    if isinstance(form, LanguageModelling):
        return "every token but the first"
    return "the answer"


def is_lost(form: Form, row: Features) -> bool:
    """Whether the answer lies beyond the cut, so that it can be neither learnt nor found."""
    form, row = _own(form, row)
    return isinstance(form, ExtractiveQA) and bool(row["answers"]) and row["span"][0] == IGNORED


def _span(form: ExtractiveQA, row: Features) -> str:
    first, last = row["span"]
    if first == IGNORED:
        return "none: the answer lies beyond the cut" if row["answers"] else "none: the question leaves no room"
    if not row["answers"]:
        return "no answer"
    tokens = form.tokenizer.convert_ids_to_tokens(row["input_ids"][first : last + 1])
    return f"tokens {first + 1} to {last + 1}: {' '.join(tokens)}"


def _own(form: Form, row: Features) -> tuple[Form, Features]:
    """Of a mixture's row the member that reads it, and the columns that are that one's."""
    if not isinstance(form, Mixture):
        return form, row
    return form.members[row["task"]], {name: value for name, value in row.items() if value is not None}

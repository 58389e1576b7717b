"""Predictions of a model on a split, and their score."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from bench import kernels, ranks
from bench.data import eval_loader
from bench.forms.base import Form, Predicted
from bench.memory import fitting
from bench.scoring import checked_scores, require_finite
from bench.sharding import is_sharded

if TYPE_CHECKING:
    from accelerate import Accelerator
    from datasets import Dataset
    from torch import nn

T = TypeVar("T")


class FittingSplit:
    """A split to ask a model about, in batches of at most `batch_size`, or of what memory allows."""

    def __init__(self, accelerator: Accelerator, split: Dataset, form: Form, batch_size: int) -> None:
        self.accelerator = accelerator
        self.split = split
        self.form = form
        self.batch_size = batch_size
        self._loaders: dict[int, Any] = {}

    def each(self, work: Callable[[Iterable[dict[str, Any]]], T]) -> T:
        """The work on the split's batches, from the first one again where one was too large. Raises OutOfMemory."""
        asked = f"batches of {self.batch_size} examples of up to {self.form.max_length} tokens to evaluate"
        self.batch_size, found = fitting(
            self.batch_size, lambda size: work(self._loader(size)), asked, self.accelerator.device
        )
        return found

    @property
    def rows(self) -> Dataset:
        """In the order in which they are asked about."""
        found: Dataset = self._loader(self.batch_size).dataset
        return found

    def _loader(self, size: int) -> Any:
        if size not in self._loaders:
            self._loaders = {size: self.accelerator.prepare(eval_loader(self.split, self.form, size))}
        return self._loaders[size]


@torch.no_grad()
def ask(
    model: nn.Module, loader: Iterable[dict[str, Any]], form: Form, split: str = "validation", when: str = ""
) -> Predicted:
    """What the model makes of a split, a row per example, in the loader's order. Leaves the model in evaluation mode.
    Raises Diverged, which names the split and `when`, where the loss is not finite."""
    ranks.require_same(model)
    model.eval()
    loss, terms = 0.0, 0
    lists: tuple[list[Any], ...] = ([], [], [], [])
    together = is_sharded(model)  # every pass is one of all ranks, of which the first answers
    batches = enumerate(loader) if together else ranks.own_batches(loader)
    with nullcontext() if together else kernels.weights_kept(trained=True):
        own_answers = [(number, form.predict(model, batch)) for number, batch in batches]
    for found in ranks.gathered([] if together and ranks.own() else own_answers):
        loss, terms = loss + found.loss, terms + found.terms
        for own, more in zip(lists, found[2:], strict=True):
            own += more
    require_finite(loss, split, when)
    return Predicted(loss, terms, *lists)


def evaluate(
    model: nn.Module, loader: Iterable[dict[str, Any]], form: Form, split: str = "validation", when: str = ""
) -> tuple[float, dict[str, float]]:
    """Mean loss per example (per token where the form's loss is one of tokens), and the task's metrics. Raises as `ask`
    does, before anything is scored; ScoreError where the task's scores are not what its card promises."""
    found = ask(model, loader, form, split, when)
    scores = checked_scores(form.task, found.predictions, found.references)
    return found.loss / max(found.terms, 1), scores

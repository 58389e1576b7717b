"""The form of a mixture: every row in the form of its own task, all of them on one model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from bench.forms.base import Form, Head, NoSuchForm, Predicted, encoded

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from tasks.base import Task


class Mixture(Form):
    """One head for each task: as many outputs as all tasks have together, of which each task sees its own; or the
    language model's head, which all of them share. A batch holds rows of several tasks.

    Raises NoSuchForm where the members need different heads.
    """

    row_by_row = False  # a table's rows are put into the order of their tasks

    def __init__(
        self, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, members: Sequence[Form]
    ) -> None:
        super().__init__(task, tokenizer, max_length, any(member.encoder_decoder for member in members))
        self.members = members
        kinds = {member.head.kind for member in members}
        if len(kinds) > 1 or "token" in kinds:
            raise NoSuchForm(f"a mixture takes tasks that share a kind of head, not {', '.join(sorted(kinds))}")
        sizes = [member.head.outputs for member in members]
        self._starts = [0, *accumulate(sizes)]
        self._kind = kinds.pop()

    @property
    @override
    def head(self) -> Head:  # type: ignore[override]
        """One for all members, each with outputs of its own."""
        return Head(self._kind, self._starts[-1])

    @property
    @override
    def key(self) -> str:
        return " ".join(member.key for member in self.members)

    @override
    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        found: list[dict[str, Any]] = []
        for index, member in enumerate(self.members):
            own = [i for i, task in enumerate(rows["task"]) if task == index]
            if not own:
                continue
            columns = {name: [values[i] for i in own] for name, values in rows.items() if name != "task"}
            # Columns that the task does not have are empty in a table of all.
            columns = {name: values for name, values in columns.items() if any(value is not None for value in values)}
            features = encoded(member, columns)
            found += [
                {"task": index, **dict(zip(features, values, strict=True))}
                for values in zip(*features.values(), strict=True)
            ]
        names = sorted({name for row in found for name in row})
        return {name: [row.get(name) for row in found] for name in names}

    @override
    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        parts = []
        for index, member in enumerate(self.members):
            own = [row for row in rows if row["task"] == index]
            if own:
                kept = [{name: value for name, value in row.items() if value is not None} for row in own]
                parts.append((index, member.collate(kept)))
        mask = [torch.ones(len(row["input_ids"]), dtype=torch.long) for row in rows]
        # Where each row of the parts, one after the other, stands in the batch.
        order = [place for index, _ in parts for place, row in enumerate(rows) if row["task"] == index]
        padded = torch.nn.utils.rnn.pad_sequence(mask, batch_first=True)
        return {"parts": parts, "order": order, "attention_mask": padded}

    @override
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        import torch

        losses, weights = [], []
        for index, part in batch["parts"]:
            weights.append(len(part["attention_mask"]))
            losses.append(self.members[index].loss(self._of(model, index), part))
        total: Tensor = sum(w * loss for w, loss in zip(weights, losses, strict=True))
        return total / torch.tensor(sum(weights))

    @override
    def share_of_loss(self, model: nn.Module, part: dict[str, Any], batch: dict[str, Any]) -> Tensor:
        """Members' losses may be means over tokens, and are weighted by rows: each member's share is of its own."""
        whole = dict(batch["parts"])
        rows = {index: len(own["attention_mask"]) for index, own in whole.items()}
        shares = [
            self.members[index].share_of_loss(self._of(model, index), own, whole[index]) * rows[index]
            for index, own in part["parts"]
        ]
        total: Tensor = sum(shares)
        return total / sum(rows.values())

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        loss, terms = 0.0, 0
        # Per row: prediction, reference, probabilities, likelihoods.
        found: list[tuple[Any, Any, Sequence[float], Sequence[float]]] = []
        for index, part in batch["parts"]:
            own = self.members[index].predict(self._of(model, index), part)
            loss, terms = loss + own.loss, terms + own.terms
            nothing: list[Sequence[float]] = [()] * len(own.predictions)
            shares = zip(own.probabilities or nothing, own.likelihoods or nothing, strict=True)
            answers = zip(own.predictions, own.references, shares, strict=True)
            found += [((index, given), (index, right), *both) for given, right, both in answers]
        rows = [row for _, row in sorted(zip(batch["order"], found, strict=True), key=lambda pair: pair[0])]
        predictions, references, probabilities, likelihoods = (list(column) for column in zip(*rows, strict=True))
        return Predicted(
            loss,
            terms,
            predictions,
            references,
            probabilities if any(map(len, probabilities)) else (),
            likelihoods if any(map(len, likelihoods)) else (),
        )

    @override
    def read(self, model: nn.Module, inputs: dict[str, Tensor]) -> Any:
        return self._of(model, 0)(**inputs)

    @override
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        part = self.members[0].synthetic(ids)
        return {"input_ids": ids, "attention_mask": part["attention_mask"], "parts": [(0, part)]}

    def _of(self, model: nn.Module, index: int) -> Any:
        low, high = self._starts[index], self._starts[index + 1]
        return _ForTask(model, index, slice(low, high) if high > low else None)


class _ForTask:
    """A model as one of the tasks sees it: told which task it is where it asks, with that task's outputs alone."""

    def __init__(self, model: Any, index: int, outputs: slice | None) -> None:
        self._model = model
        self._index = index
        self._outputs = outputs

    def __call__(self, **inputs: Any) -> Any:
        if getattr(self._model, "takes_task_ids", False):
            ids = inputs["input_ids"]
            inputs["task_ids"] = ids.new_full((len(ids),), self._index)
        output = self._model(**inputs)
        if self._outputs is not None:
            output.logits = output.logits[:, self._outputs]
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

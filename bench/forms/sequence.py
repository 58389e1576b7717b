"""Forms under a fresh head that reads a whole sequence: classification, regression, multiple choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from bench.forms.base import Form, Head, Predicted, input_tensors, inputs_of, never_empty
from bench.forms.tokens import encode

if TYPE_CHECKING:
    from torch import Tensor, nn


class _Pairs(Form):
    """One text, or a pair, for one label."""

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        texts = [rows[column] for column in ("text", "text_pair") if column in rows]
        options: dict[str, Any] = {"truncation": True, "max_length": self.max_length, "return_attention_mask": False}
        features = never_empty(self.tokenizer, dict(encode(self.tokenizer, *texts, **options)))
        return features | {"label": rows["label"]}

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        return {**input_tensors(self, rows), "labels": torch.tensor([row["label"] for row in rows])}


class Classification(_Pairs):
    """As many outputs as there are labels, under cross-entropy."""

    @property
    @override
    def head(self) -> Head:  # type: ignore[override]
        """One of as many outputs as there are labels."""
        return Head("sequence", len(self.task.card.labels))

    @override
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(model(**inputs_of(batch)).logits.float(), batch["labels"])

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        from torch.nn import functional as F

        labels = batch["labels"]
        logits = model(**inputs_of(batch)).logits.float()
        loss = F.cross_entropy(logits, labels, reduction="sum").item()
        predictions, probabilities = logits.argmax(-1).tolist(), logits.softmax(-1).tolist()
        return Predicted(loss, len(labels), predictions, labels.tolist(), probabilities)

    @override
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        import torch

        labels = torch.arange(len(ids), device=ids.device) % self.head.outputs
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


class Regression(_Pairs):
    """One output, under the squared error."""

    head = Head("sequence", 1)

    @override
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        from torch.nn import functional as F

        return F.mse_loss(model(**inputs_of(batch)).logits.float().squeeze(-1), batch["labels"].float())

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        from torch.nn import functional as F

        labels = batch["labels"].float()
        values = model(**inputs_of(batch)).logits.float().squeeze(-1)
        return Predicted(
            F.mse_loss(values, labels, reduction="sum").item(), len(labels), values.tolist(), labels.tolist()
        )

    @override
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        import torch

        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": torch.zeros(len(ids), device=ids.device),
        }


class MultipleChoice(Form):
    """Every choice is read after the text, and scored by one output; softmax over a row's choices. Rows may have
    different numbers of choices. As with the multiple-choice heads of BERT (Devlin et al. 2019)."""

    head = Head("sequence", 1)

    @override
    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        encoded: list[list[list[int]]] = []
        for text, choices in zip(rows["text"], rows["choices"], strict=True):
            pairs = [text] * len(choices), choices
            features = encode(self.tokenizer, *pairs, truncation=True, max_length=self.max_length)
            encoded.append(never_empty(self.tokenizer, {"input_ids": features["input_ids"]})["input_ids"])
        # `input_ids` is what lengths are read from: the longest choice. All of them are in `choices`.
        longest = [max(choices, key=len) for choices in encoded]
        return {"input_ids": longest, "choices": encoded, "label": rows["label"]}

    @override
    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        flat = [{"input_ids": ids} for row in rows for ids in row["choices"]]
        counts = torch.tensor([len(row["choices"]) for row in rows])
        labels = torch.tensor([row["label"] for row in rows])
        return {**input_tensors(self, flat), "labels": labels, "counts": counts}

    @override
    def terms(self, batch: dict[str, Any]) -> int:
        return len(batch["labels"])

    def _scores(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Scores (rows, choices), minus infinity where a row has fewer, and labels."""
        import torch

        flat = model(**inputs_of(batch)).logits.float().squeeze(-1)
        parts = flat.split(batch["counts"].tolist())
        scores = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=float("-inf"))
        return scores, batch["labels"]

    @override
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(*self._scores(model, batch))

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        from torch.nn import functional as F

        scores, labels = self._scores(model, batch)
        loss = F.cross_entropy(scores, labels, reduction="sum").item()
        shares = zip(scores.softmax(-1).tolist(), batch["counts"].tolist(), strict=True)
        probabilities = [share[:count] for share, count in shares]
        return Predicted(loss, len(labels), scores.argmax(-1).tolist(), labels.tolist(), probabilities)

    @override
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        import torch

        # As if rows had two choices, so that a batch holds as many tokens as that of any other task.
        counts = [2] * (len(ids) // 2) + [1] * (len(ids) % 2)
        labels = torch.zeros(len(counts), dtype=torch.long, device=ids.device)
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "labels": labels,
            "counts": torch.tensor(counts),
        }

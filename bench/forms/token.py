"""Forms under a fresh head that reads every token: tagging, extractive question answering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.forms.base import Form, Head, Predicted, input_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

IGNORED = -100


class Tagging(Form):
    """A word's first token carries its tag; its other tokens, and the special ones, are not trained on. Words beyond
    the length are predicted as tag 0, which by convention is that of no entity."""

    @property
    def head(self) -> Head:  # type: ignore[override]
        return Head("token", len(self.task.card.labels))

    def encode(self, rows: dict[str, list]) -> dict[str, list]:
        options: dict[str, Any] = {"is_split_into_words": True, "truncation": True, "max_length": self.max_length}
        if "add_prefix_space" in getattr(self.tokenizer, "init_kwargs", {}):
            options["add_prefix_space"] = True
        features = self.tokenizer(rows["words"], return_attention_mask=False, **options)
        tags: list[list[int]] = []
        for index, labels in enumerate(rows["label"]):
            row, previous = [], None
            for word in features.word_ids(index):
                row.append(labels[word] if word is not None and word != previous else IGNORED)
                previous = word
            tags.append(row)
        return dict(features) | {"tags": tags, "label": rows["label"]}

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        batch = input_tensors(self.tokenizer, rows)
        labels = torch.full_like(batch["input_ids"], IGNORED)
        for row, line in zip(rows, labels, strict=True):
            start = line.numel() - len(row["tags"]) if self.tokenizer.padding_side == "left" else 0
            line[start : start + len(row["tags"])] = torch.tensor(row["tags"])
        return {**batch, "labels": labels, "words": [row["label"] for row in rows]}

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        from torch.nn import functional as F

        labels = batch.pop("labels")
        batch.pop("words", None)
        return F.cross_entropy(model(**batch).logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        from torch.nn import functional as F

        labels, words = batch.pop("labels"), batch.pop("words")
        logits = model(**batch).logits.float()
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum").item()
        predictions = []
        for best, marks, reference in zip(logits.argmax(-1), labels, words, strict=True):
            found = best[marks != IGNORED].tolist()
            predictions.append(found + [0] * (len(reference) - len(found)))
        return Predicted(loss, int((labels != IGNORED).sum()), predictions, words)

    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        import torch

        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids % self.head.outputs}


class ExtractiveQA(Form):
    """Two outputs for every token: does the answer start here, does it end here. The passage is cut to the length; an
    answer beyond it cannot be found, and counts as wrong. As in BERT (Devlin et al. 2019)."""

    head = Head("token", 2)
    longest_answer = 30  # tokens, as the original code has it

    def encode(self, rows: dict[str, list]) -> dict[str, list]:
        features = self.tokenizer(
            rows["text"],
            rows["text_pair"],
            truncation="only_second",
            max_length=self.max_length,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        spans: list[list[int]] = []
        offsets: list[list[list[int]]] = []
        for index, (answers, starts) in enumerate(zip(rows["answers"], rows["starts"], strict=True)):
            # Offsets of question and special tokens are emptied: no answer lies there.
            inside = [
                list(pair) if part == 1 else [0, 0]
                for pair, part in zip(features["offset_mapping"][index], features.sequence_ids(index), strict=True)
            ]
            offsets.append(inside)
            first, last = IGNORED, IGNORED
            if answers:
                begin, end = starts[0], starts[0] + len(answers[0])
                covered = [i for i, (low, high) in enumerate(inside) if low < end and high > begin]
                if covered and inside[covered[-1]][1] >= end:
                    first, last = covered[0], covered[-1]
            spans.append([first, last])
        features.pop("offset_mapping")
        kept = {"span": spans, "offsets": offsets, "passage": rows["text_pair"], "answers": rows["answers"]}
        return dict(features) | kept

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        batch = input_tensors(self.tokenizer, rows)
        width = batch["input_ids"].shape[1]
        offsets = torch.zeros(len(rows), width, 2, dtype=torch.long)
        spans = torch.tensor([row["span"] for row in rows])
        for index, row in enumerate(rows):
            start = width - len(row["offsets"]) if self.tokenizer.padding_side == "left" else 0
            offsets[index, start : start + len(row["offsets"])] = torch.tensor(row["offsets"])
            spans[index] += start * (spans[index] != IGNORED)
        others = {"passages": [row["passage"] for row in rows], "answers": [row["answers"] for row in rows]}
        return {**batch, "labels": spans, "offsets": offsets, **others}

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        spans = batch["labels"]
        logits = self._logits(model, batch)
        # The mean over what can be found; zero, with a gradient all the same, where nothing can.
        return _span_loss(logits, spans) / (spans != IGNORED).sum().clamp(min=1)

    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        import torch

        spans, offsets = batch["labels"], batch["offsets"]
        passages, answers = batch["passages"], batch["answers"]
        logits = self._logits(model, batch)
        outside = (offsets[..., 1] == 0)[..., None]
        start, end = logits.masked_fill(outside, float("-inf")).unbind(-1)
        scores = start[:, :, None] + end[:, None, :]
        band = torch.ones_like(scores[0], dtype=torch.bool).triu().tril(self.longest_answer - 1)
        best = scores.masked_fill(~band, float("-inf")).flatten(1).argmax(1)
        predictions = []
        for row, place in enumerate(best.tolist()):
            first, last = divmod(place, scores.shape[2])
            predictions.append(passages[row][offsets[row, first, 0] : offsets[row, last, 1]])
        return Predicted(_span_loss(logits, spans).item(), max(int((spans != IGNORED).sum()), 1), predictions, answers)

    def _logits(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """(batch, length, 2)."""
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in batch}
        return model(**inputs).logits.float()

    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        import torch

        spans = torch.ones(len(ids), 2, dtype=torch.long, device=ids.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": spans}


def _span_loss(logits: Tensor, spans: Tensor) -> Tensor:
    from torch.nn import functional as F

    flat = logits.transpose(1, 2).flatten(0, 1)  # (batch · 2, length)
    return F.cross_entropy(flat, spans.flatten(), ignore_index=IGNORED, reduction="sum")

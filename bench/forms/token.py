"""Forms under a fresh head that reads every token: tagging, extractive question answering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from bench.forms.base import Form, Head, Predicted, input_tensors, inputs_of, never_empty
from bench.forms.tokens import encode

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from tasks.base import Task

IGNORED = -100
NOWHERE = -1


class Tagging(Form):
    """A word's first token carries its tag; its other tokens, and the special ones, are not trained on. Words beyond
    the length, and those of which the tokenizer makes nothing, are predicted as being no entity: `O` where the task
    has that tag, else the first."""

    @property
    @override
    def head(self) -> Head:  # type: ignore[override]
        """One of as many outputs for every token as there are tags."""
        return Head("token", len(self.task.card.labels))

    @override
    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        options: dict[str, Any] = {"is_split_into_words": True, "truncation": True, "max_length": self.max_length}
        if "add_prefix_space" in getattr(self.tokenizer, "init_kwargs", {}):
            options["add_prefix_space"] = True
        features = encode(self.tokenizer, rows["words"], return_attention_mask=False, **options)
        places: list[list[int]] = []
        for index, labels in enumerate(rows["label"]):
            row = [NOWHERE] * len(labels)
            for place, word in enumerate(features.word_ids(index)):
                if word is not None and row[word] == NOWHERE:
                    row[word] = place
            places.append(row)
        return never_empty(self.tokenizer, dict(features)) | {"places": places, "label": rows["label"]}

    @override
    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        batch = input_tensors(self, rows)
        labels = torch.full_like(batch["input_ids"], IGNORED)
        for row, line in zip(rows, labels, strict=True):
            for place, tag in zip(row["places"], row["label"], strict=True):
                if place != NOWHERE:
                    line[place] = tag
        others = {"places": [row["places"] for row in rows], "words": [row["label"] for row in rows]}
        return {**batch, "labels": labels, **others}

    @override
    def terms(self, batch: dict[str, Any]) -> int:
        return int((batch["labels"] != IGNORED).sum())

    @override
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        # The mean over what is tagged; zero, with a gradient all the same, where nothing is.
        count: Tensor = (batch["labels"] != IGNORED).sum().clamp(min=1)
        return self._summed(model, batch)[0] / count

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        loss, logits = self._summed(model, batch)
        names = self.task.card.labels
        none = names.index("O") if "O" in names else 0
        predictions = [
            [best[place] if place != NOWHERE else none for place in places]
            for best, places in zip(logits.argmax(-1).tolist(), batch["places"], strict=True)
        ]
        return Predicted(loss.item(), int((batch["labels"] != IGNORED).sum()), predictions, batch["words"])

    def _summed(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The loss, summed over the tagged tokens, and the logits."""
        from torch.nn import functional as F

        logits = model(**inputs_of(batch)).logits.float()
        labels = batch["labels"].flatten()
        return F.cross_entropy(logits.flatten(0, 1), labels, ignore_index=IGNORED, reduction="sum"), logits

    @override
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        import torch

        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids % self.head.outputs}


class ExtractiveQA(Form):
    """Two outputs for every token: does the answer start here, does it end here. The passage is cut to the length; an
    answer beyond it cannot be found, and counts as wrong. As in BERT (Devlin et al. 2019).

    A question without an answer points at [CLS], or, where the tokenizer writes none, at the last token. A model whose
    training examples hold such questions says that there is no answer (the empty text) where it rather points there
    than into the passage, as BERT does for the second edition of SQuAD; others always answer. A question that leaves no
    room for the passage is not asked: it is not trained on, and its answer is the empty text."""

    head = Head("token", 2)
    longest_answer = 30  # tokens, as the original code has it

    def __init__(
        self,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        encoder_decoder: bool = False,
        may_abstain: bool = False,
    ) -> None:
        super().__init__(task, tokenizer, max_length, encoder_decoder)
        self.may_abstain = may_abstain

    @override
    def trained_on(self, train: Dataset) -> ExtractiveQA:
        abstains = any(asked and not answers for asked, answers in zip(train["asked"], train["answers"], strict=True))
        return ExtractiveQA(self.task, self.tokenizer, self.max_length, self.encoder_decoder, abstains)

    @override
    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        asked = self._fits(rows["text"])
        # In place of one that does not fit its passage is read alone: something has to be.
        texts = [text if fits else "" for text, fits in zip(rows["text"], asked, strict=True)]
        features = encode(
            self.tokenizer,
            texts,
            rows["text_pair"],
            truncation="only_second",
            max_length=self.max_length,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        spans: list[list[int]] = []
        nulls: list[int] = []
        offsets: list[list[list[int]]] = []
        for index, (answers, starts) in enumerate(zip(rows["answers"], rows["starts"], strict=True)):
            # Offsets of question and special tokens are emptied: no answer lies there.
            inside = [
                list(pair) if part == 1 and asked[index] else [0, 0]
                for pair, part in zip(features["offset_mapping"][index], features.sequence_ids(index), strict=True)
            ]
            ids = features["input_ids"][index]
            cls = self.tokenizer.cls_token_id
            nulls.append(ids.index(cls) if cls in ids else max(len(ids) - 1, 0))
            offsets.append(inside or [[0, 0]])
            first, last = IGNORED, IGNORED
            if answers:
                begin, end = starts[0], starts[0] + len(answers[0])
                covered = [i for i, (low, high) in enumerate(inside) if low < end and high > begin]
                if covered and inside[covered[-1]][1] >= end:
                    first, last = covered[0], covered[-1]
            elif asked[index]:
                first = last = nulls[-1]
            spans.append([first, last])
        read = {name: values for name, values in features.items() if name != "offset_mapping"}
        kept: dict[str, list[Any]] = {
            "span": spans,
            "null": nulls,
            "offsets": offsets,
            "passage": rows["text_pair"],
            "asked": asked,
        }
        return never_empty(self.tokenizer, read) | kept | {"answers": rows["answers"]}

    def _fits(self, questions: list[str]) -> list[bool]:
        """Which questions leave room for a token of the passage."""
        room = self.max_length - self.tokenizer.num_special_tokens_to_add(pair=True)
        read = encode(self.tokenizer, questions, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return [len(ids) < room for ids in read]

    @override
    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        batch = input_tensors(self, rows)
        offsets = torch.zeros(*batch["input_ids"].shape, 2, dtype=torch.long)
        for index, row in enumerate(rows):
            offsets[index, : len(row["offsets"])] = torch.tensor(row["offsets"])
        return {
            **batch,
            "labels": torch.tensor([row["span"] for row in rows]),
            "offsets": offsets,
            "nulls": [row["null"] for row in rows],
            "passages": [row["passage"] for row in rows],
            "answers": [row["answers"] for row in rows],
        }

    @override
    def terms(self, batch: dict[str, Any]) -> int:
        return int((batch["labels"] != IGNORED).sum())

    @override
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        spans: Tensor = batch["labels"]
        # The mean over what can be found; zero, with a gradient all the same, where nothing can.
        return _span_loss(self._logits(model, batch), spans) / (spans != IGNORED).sum().clamp(min=1)

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        import torch

        spans, offsets = batch["labels"], batch["offsets"]
        logits = self._logits(model, batch)
        outside = (offsets[..., 1] == 0)[..., None]
        start, end = logits.masked_fill(outside, float("-inf")).unbind(-1)
        scores = start[:, :, None] + end[:, None, :]
        band = torch.ones_like(scores[0], dtype=torch.bool).triu().tril(self.longest_answer - 1)
        best, places = scores.masked_fill(~band, float("-inf")).flatten(1).max(1)
        rows = torch.arange(len(logits), device=logits.device)
        null = logits[rows, torch.tensor(batch["nulls"], device=logits.device)].sum(-1)
        # Where no token of the passage was read, nothing can be better than no answer.
        silent = (best == float("-inf")) | (
            null > best if self.may_abstain else torch.zeros_like(best, dtype=torch.bool)
        )
        predictions = []
        for row, (place, says_nothing) in enumerate(zip(places.tolist(), silent.tolist(), strict=True)):
            first, last = divmod(place, scores.shape[2])
            answer = batch["passages"][row][offsets[row, first, 0] : offsets[row, last, 1]]
            predictions.append("" if says_nothing else answer)
        terms = int((spans != IGNORED).sum())
        return Predicted(_span_loss(logits, spans).item(), max(terms, 1), predictions, batch["answers"])

    def _logits(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """(batch, length, 2)."""
        logits: Tensor = model(**inputs_of(batch)).logits
        return logits.float()

    @override
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        import torch

        spans = torch.ones(len(ids), 2, dtype=torch.long, device=ids.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": spans}


def _span_loss(logits: Tensor, spans: Tensor) -> Tensor:
    from torch.nn import functional as F

    flat = logits.transpose(1, 2).flatten(0, 1)  # (batch · 2, length)
    return F.cross_entropy(flat, spans.flatten(), ignore_index=IGNORED, reduction="sum")


def unasked(split: Dataset) -> int:
    """How many of a split's questions left no room for their passage."""
    return sum(not asked for asked in split["asked"]) if "asked" in split.column_names else 0

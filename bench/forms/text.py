"""Forms of plain text for a language model with its own head: answers by likelihood, generation, language modelling."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from bench.forms import tokens
from bench.forms.base import Form, Head, NoSuchForm, Predicted
from bench.forms.token import IGNORED
from bench.forms.tokens import Token

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from tasks.base import Task

Row = Mapping[str, Any]

# What an answer is tokenised after where it has to be tokenised without its prompt: rather after something that no
# merge reaches over than at the beginning of a text, where some tokenizers put a space of their own.
_NEUTRAL = ("\n", ".", "a")


class Prompted(Form):
    """A prompt, made of a row, and what may follow it. Where the tokenizer has a chat template the prompt is what the
    user says, and the answer what the assistant says; else a space stands between them. `demonstrations` are rows
    that are shown with their answers before the one that is asked.

    The border between the two is one of characters. The prompt's tokens are those of the prompt alone, be it trained
    on, scored or generated from; the answer's are those that reading both together gives after them, or, where a
    token would reach over the border or the prompt's own would change, those of the answer alone. What a tokenizer
    puts after a text (an end, say) stands after neither; only an encoder reads it."""

    head = Head("language")

    def __init__(
        self,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        max_target_length: int,
        demonstrations: Sequence[Row] = (),
        encoder_decoder: bool = False,
    ) -> None:
        super().__init__(task, tokenizer, max_length, encoder_decoder)
        self.max_target_length = max_target_length
        self.demonstrations = demonstrations
        self.chat = bool(getattr(tokenizer, "chat_template", None))

    @property
    @override
    def key(self) -> str:
        shown = json.dumps([dict(row) for row in self.demonstrations], sort_keys=True, default=str)
        template = str(getattr(self.tokenizer, "chat_template", ""))
        digest = hashlib.sha256(f"{shown}\0{template}".encode()).hexdigest()[:16]
        return f"{type(self).__name__} {self.max_target_length} {self.encoder_decoder} {digest}"

    @abstractmethod
    def answer(self, row: Row) -> str:
        """The right one."""

    def context(self, row: Row) -> str:
        """All that stands before the answer: demonstrations and prompt, in the chat template where there is one."""
        return tokens.unmark(self._context(row)) if self.chat else self._context(row)

    def _context(self, row: Row) -> str:
        """The same, with special tokens marked that are in the rows' own texts and not the template's."""
        turns = [(self._fitted(shown), self.answer(shown)) for shown in self.demonstrations]
        if not self.chat:
            return "".join(f"{prompt} {answer}\n\n" for prompt, answer in turns) + self._fitted(row)
        said = [text for turn in turns for text in turn] + [self._fitted(row)]
        messages = [
            {"role": "assistant" if index % 2 else "user", "content": tokens.mark(self.tokenizer, text)}
            for index, text in enumerate(said)
        ]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def continuation(self, answer: str) -> str:
        """An answer as it follows the prompt."""
        return answer if self.chat else f" {answer}"

    def _fitted(self, row: Row) -> str:
        """The prompt, its text cut so that it takes at most `max_length` tokens (demonstrations not counted). Of a
        pair, the first text keeps at least half of the room."""
        columns = [name for name in ("text", "text_pair") if row.get(name)]
        empty = dict(row) | dict.fromkeys(columns, "")
        question = tokens.tokens(self.tokenizer, self.task.prompt(empty))
        around = (
            self.tokenizer.num_special_tokens_to_add() if self.encoder_decoder and not self.chat else len(self._before)
        )
        room = max(self.max_length - around - len(question), 1)
        spans = {name: [(t.start, t.end) for t in tokens.tokens(self.tokenizer, row[name])] for name in columns}
        cut = dict(row)
        for name in columns:
            others = sum(len(spans[other]) for other in columns if other != name)
            own = max(room - others, room // 2 if len(columns) > 1 else room)
            if len(spans[name]) > own:
                cut[name] = row[name][: spans[name][own - 1][1]] if own else ""
                spans[name] = spans[name][:own]
        return self.task.prompt(cut)

    @cached_property
    def _before(self) -> list[int]:
        """What begins a prompt. A chat template writes that itself."""
        return [] if self.chat else tokens.before(self.tokenizer)

    def _read(self, text: str) -> list[Token]:
        return tokens.templated(self.tokenizer, text) if self.chat else tokens.tokens(self.tokenizer, text)

    def _split(self, row: Row, answers: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """Token ids of what stands before the answer, and of each of the answers."""
        context = self._context(row)
        if self.encoder_decoder:
            # A decoder has just begun when it answers, and reads no space first.
            given = tokens.encode(self.tokenizer, context)["input_ids"] if not self.chat else _ids(self._read(context))
            found = [_ids(tokens.tokens(self.tokenizer, answer.lstrip())) for answer in answers]
        else:
            start = self._read(context)
            given = self._before + _ids(start)
            continuations = [self.continuation(answer) for answer in answers]
            if self.chat:
                continuations = [tokens.mark(self.tokenizer, continuation) for continuation in continuations]
            found = [self._after(context, start, continuation) for continuation in continuations]
        # A model has to have read something before it answers, and says at least that it is done.
        given = given or [_needed(tokens.beginning(self.tokenizer), "begins")]
        return given, [answer or [_needed(tokens.ending(self.tokenizer), "ends")] for answer in found]

    def _after(self, context: str, start: list[Token], answer: str) -> list[int]:
        """The tokens of an answer that follows a context of such tokens."""
        for before, read in ((context, start), *((text, self._read(text)) for text in _NEUTRAL)):
            whole = self._read(before + answer)
            own, rest = whole[: len(read)], whole[len(read) :]
            border = len(before)
            if _ids(own) == _ids(read) and all(t.end <= border for t in own) and all(t.start >= border for t in rest):
                return _ids(rest)
        return _ids(self._read(answer))

    def score(self, model: nn.Module, contexts: list[list[int]], answers: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Log-probabilities (batch, longest answer) of the answers' tokens, zero beside them, and the mask. An answer's
        last token is not read; so answers to one context that differ in that alone take one pass of the model."""
        import torch
        from torch.nn import functional as F

        device = next(model.parameters()).device
        width = max(map(len, answers))
        pairs = [(tuple(c), tuple(a[:-1])) for c, a in zip(contexts, answers, strict=True)]
        read = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        labels = torch.full((len(answers), width), IGNORED)
        if self.encoder_decoder:
            inputs = self._padded([list(context) for context, _ in read], device)
            start = model.config.decoder_start_token_id  # type: ignore[union-attr]
            decoder = torch.full((len(read), width), self.pad)
            for row, (_, stem) in enumerate(read):
                decoder[row, : len(stem) + 1] = torch.tensor([start, *stem])
            for row, answer in enumerate(answers):
                labels[row, : len(answer)] = torch.tensor(answer)
            logits = model(**inputs, decoder_input_ids=decoder.to(device)).logits
        else:
            inputs = self._padded([[*context, *stem] for context, stem in read], device)
            for row, answer in enumerate(answers):
                labels[row, width - len(answer) :] = torch.tensor(answer)
            logits = model(**inputs, logits_to_keep=width).logits
        labels = labels.to(device)
        if len(read) < len(pairs):
            logits = logits[torch.tensor([read[pair] for pair in pairs], device=device)]
        found = -F.cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        return found, labels != IGNORED

    def _padded(self, ids: list[list[int]], device: Any) -> dict[str, Tensor]:
        """A decoder's inputs are padded on the left, so that all end together, and positions count from the first
        token; an encoder's on the right, since it counts its positions itself."""
        import torch

        width = -(-max(map(len, ids)) // 4) * 4
        padded = torch.full((len(ids), width), self.pad)
        mask = torch.zeros(len(ids), width, dtype=torch.long)
        for row, line in enumerate(ids):
            start = 0 if self.encoder_decoder else width - len(line)
            padded[row, start : start + len(line)] = torch.tensor(line)
            mask[row, start : start + len(line)] = 1
        inputs = {"input_ids": padded.to(device), "attention_mask": mask.to(device)}
        if not self.encoder_decoder:
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0).to(device)
        return inputs

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Lists: what is padded differs between training, scoring and generation. The mask is for counting tokens."""
        import torch

        batch = {name: [row[name] for row in rows] for name in rows[0]}
        mask = [torch.ones(len(ids), dtype=torch.long) for ids in batch["input_ids"]]
        return batch | {"attention_mask": torch.nn.utils.rnn.pad_sequence(mask, batch_first=True)}

    @override
    def terms(self, batch: dict[str, Any]) -> int:
        return sum(map(len, batch["target"]))

    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """Cross-entropy of the right answers, the mean over their tokens."""
        found, mask = self.score(model, batch["context"], batch["target"])
        return -found.sum() / mask.sum()

    @override
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        answer = max(1, min(8, ids.shape[1] // 4))
        rows = ids.tolist()
        contexts, targets = [row[:-answer] for row in rows], [row[-answer:] for row in rows]
        inputs = {"input_ids": ids, "attention_mask": ids.new_ones(ids.shape)}
        if self.encoder_decoder:
            inputs["decoder_input_ids"] = ids[:, -answer:]
        return {**inputs, "context": contexts, "target": targets}


class Likelihood(Prompted):
    """Which of several answers the model finds likeliest, per character of the answer: lengths differ, and
    tokenizers cut the same answer into different numbers of tokens."""

    def answers(self, row: Row) -> Sequence[str]:
        """Those to choose from."""
        return row["choices"] if self.task.kind == "multiple choice" else self.task.verbalisers()

    @override
    def answer(self, row: Row) -> str:
        return self.answers(row)[row["label"]]

    @override
    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        features: dict[str, list[Any]] = {
            name: [] for name in ("input_ids", "context", "target", "choices", "characters", "label")
        }
        for values in zip(*rows.values(), strict=True):
            row = dict(zip(rows, values, strict=True))
            start, choices = self._split(row, self.answers(row))
            target = choices[row["label"]]
            features["input_ids"].append(start + target)
            features["context"].append(start)
            features["target"].append(target)
            features["choices"].append(choices)
            features["characters"].append([max(len(answer), 1) for answer in self.answers(row)])
            features["label"].append(row["label"])
        return features

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        contexts = [c for c, choices in zip(batch["context"], batch["choices"], strict=True) for _ in choices]
        answers = [answer for choices in batch["choices"] for answer in choices]
        size = len(batch["context"])
        sums: list[float] = []
        for start in range(0, len(answers), size):
            found, _ = self.score(model, contexts[start : start + size], answers[start : start + size])
            sums += found.sum(1).tolist()
        loss, terms, at = 0.0, 0, 0
        predictions: list[int] = []
        likelihoods: list[list[float]] = []
        for choices, characters, label in zip(batch["choices"], batch["characters"], batch["label"], strict=True):
            own = sums[at : at + len(choices)]
            at += len(choices)
            each = [total / length for total, length in zip(own, characters, strict=True)]
            predictions.append(max(range(len(each)), key=each.__getitem__))
            likelihoods.append(own)
            loss, terms = loss - own[label], terms + len(choices[label])
        return Predicted(loss, terms, predictions, batch["label"], likelihoods=likelihoods)


class Generation(Prompted):
    """Greedy decoding until the end of the text, or `max_target_length` tokens."""

    @cached_property
    def end(self) -> int:
        """The token that ends a text. Raises NoSuchForm where the tokenizer has none."""
        return _needed(tokens.ending(self.tokenizer), "ends")

    @override
    def answer(self, row: Row) -> str:
        return row["targets"][0] if row["targets"] else ""

    @override
    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        features: dict[str, list[Any]] = {name: [] for name in ("input_ids", "context", "target", "targets")}
        for values in zip(*rows.values(), strict=True):
            row = dict(zip(rows, values, strict=True))
            start, [target] = self._split(row, [self.answer(row)])
            if target[-1] != self.end:  # as it does where there is nothing to say
                target = [*target[: self.max_target_length - 1], self.end]
            features["input_ids"].append(start + target)
            features["context"].append(start)
            features["target"].append(target)
            features["targets"].append(row["targets"])
        return features

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        found, mask = self.score(model, batch["context"], batch["target"])
        said = [
            ids[: ids.index(self.end)] if self.end in ids else ids for ids in self.generate(model, batch["context"])
        ]
        texts = self.tokenizer.batch_decode(said, skip_special_tokens=True)
        return Predicted(-found.sum().item(), int(mask.sum()), [text.strip() for text in texts], batch["targets"])

    def generate(self, model: nn.Module, contexts: list[list[int]]) -> list[list[int]]:
        """Token ids of the likeliest next tokens, one after the other."""
        import torch

        inputs = self._padded(contexts, next(model.parameters()).device)
        end, pad = self.end, self.pad
        if not self.encoder_decoder:
            output = model.generate(  # type: ignore[operator]
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],  # positions `generate` counts itself
                max_new_tokens=self.max_target_length,
                do_sample=False,
                num_beams=1,
                pad_token_id=pad,
                eos_token_id=end,
                generation_config=None,
            )
            return [row[inputs["input_ids"].shape[1] :] for row in output.tolist()]
        # The whole model at every step: `generate` runs the encoder by itself, past what a method has put around
        # the model.
        start = model.config.decoder_start_token_id  # type: ignore[union-attr]
        decoded = torch.full((len(contexts), 1), start)  # type: ignore[arg-type]
        decoded = decoded.to(inputs["input_ids"].device)
        ended = torch.zeros(len(contexts), dtype=torch.bool, device=decoded.device)
        for _ in range(self.max_target_length):
            following = model(**inputs, decoder_input_ids=decoded).logits[:, -1].argmax(-1)
            following = following.masked_fill(ended, pad)
            decoded = torch.cat([decoded, following[:, None]], dim=1)
            ended |= following == end
            if ended.all():
                break
        return decoded[:, 1:].tolist()


def _ids(read: Sequence[Token]) -> list[int]:
    return [token.id for token in read]


def _needed(token: int | None, what: str) -> int:
    if token is None:
        raise NoSuchForm(f"the tokenizer has no token that {what} a text, which reading and answering it needs")
    return token


class LanguageModelling(Form):
    """Texts cut into windows of `max_length` tokens, each read on its own after the token that begins a text."""

    head = Head("language")
    row_by_row = False

    @override
    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        features: dict[str, list[Any]] = {"input_ids": [], "bytes": [], "example": []}
        begin = _needed(tokens.beginning(self.tokenizer), "begins")
        for index, text in enumerate(rows["text"]):
            read = tokens.tokens(self.tokenizer, text)
            ids = _ids(read)
            for start in range(0, len(ids), self.max_length - 1):
                window = slice(start, start + self.max_length - 1)
                last = min(window.stop, len(ids))
                # What lies between two windows belongs to the former, so that every byte counts once.
                until = read[last].start if last < len(ids) else len(text)
                features["input_ids"].append([begin, *ids[window]])
                features["bytes"].append(len(text[read[start].start if start else 0 : until].encode()))
                # Windows of one text are told apart by where they begin.
                features["example"].append(f"{rows['example'][index]}:{start}" if "example" in rows else str(start))
        return features

    @override
    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        ids = [torch.tensor(row["input_ids"]) for row in rows]
        mask = [torch.ones_like(line) for line in ids]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=self.pad)
        return {
            "input_ids": padded,
            "attention_mask": torch.nn.utils.rnn.pad_sequence(mask, batch_first=True),
            "bytes": [row["bytes"] for row in rows],
        }

    def _found(self, model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Log-probabilities (batch, length − 1) of all tokens but the first, and their mask."""
        from torch.nn import functional as F

        ids, mask = batch["input_ids"], batch["attention_mask"]
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        found = -F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        return found * mask[:, 1:], mask[:, 1:]

    @override
    def terms(self, batch: dict[str, Any]) -> int:
        return int(batch["attention_mask"][:, 1:].sum())

    @override
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        found, mask = self._found(model, batch)
        return -found.sum() / mask.sum()

    @override
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        found, mask = self._found(model, batch)
        tokens = mask.sum(1).tolist()
        references = list(zip(tokens, batch["bytes"], strict=True))
        return Predicted(-found.sum().item(), sum(tokens), found.sum(1).tolist(), references)

    @override
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        return {"input_ids": ids, "attention_mask": ids.new_ones(ids.shape)}

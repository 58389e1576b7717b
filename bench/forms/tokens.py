"""From texts to token ids. Whatever a text holds is ordinary characters: the special tokens among its ids are those
that the tokenizer or a chat template put there, never one that somebody typed. Importing this needs no torch."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

# A chat template writes special tokens beside what people typed, in one string. There, the first character of a typed
# one is moved to this plane of Unicode, which is for private use, until the template's own have been told apart.
_TYPED = 0x100000
_MARKED = re.compile("[\U00100000-\U0010ffff]")


class Token(NamedTuple):
    """A token's id, and where its characters begin and end in the text."""

    id: int
    start: int
    end: int


def encode(tokenizer: PreTrainedTokenizerBase, *texts: Any, **options: Any) -> BatchEncoding:
    """What the tokenizer makes of texts in which nothing typed is a special token."""
    read: BatchEncoding = tokenizer(*texts, split_special_tokens=True, **options)
    return read


def plain(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer, or, where its vocabulary holds special tokens as words (as those of Unigram do), a copy that takes
    a typed one apart before it looks words up."""
    from tokenizers import Regex, pre_tokenizers

    found = [name for name in _special(tokenizer) if len(name) > 1 and _is_word(tokenizer, name)]
    if not found:
        return tokenizer
    tokenizer = copy.deepcopy(tokenizer)
    backend = tokenizer.backend_tokenizer
    pattern = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in found)
    apart = pre_tokenizers.Split(Regex(pattern), "isolated")
    given = backend.pre_tokenizer
    backend.pre_tokenizer = apart if given is None else pre_tokenizers.Sequence([given, apart])
    return tokenizer


def tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[Token]:
    """Those of the text alone: nothing that begins or ends it."""
    read = encode(tokenizer, text, add_special_tokens=False, return_offsets_mapping=True)
    return [Token(id, *span) for id, span in zip(read["input_ids"], read["offset_mapping"], strict=True)]


def mark(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text for a chat template: of the same length, and without any special token."""
    if not (names := [re.escape(name) for name in _special(tokenizer) if name in text]):
        return text
    return re.sub("|".join(names), lambda found: chr(_TYPED + ord(found[0][0])) + found[0][1:], text)


def unmark(text: str) -> str:
    """The text before it was marked."""
    return _MARKED.sub(lambda found: chr(ord(found[0]) - _TYPED), text)


def templated(tokenizer: PreTrainedTokenizerBase, text: str) -> list[Token]:
    """Those of a text that a chat template wrote: its special tokens are special, what `mark` marked is not."""
    typed = unmark(text)
    if typed == text:
        read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return [Token(id, *span) for id, span in zip(read["input_ids"], read["offset_mapping"], strict=True)]
    special = _special(tokenizer)
    found: list[Token] = []
    start = 0
    for part in re.split(f"({'|'.join(map(re.escape, special))})", text):
        end = start + len(part)
        if part in special:
            found.append(Token(tokenizer.convert_tokens_to_ids(part), start, end))  # type: ignore[arg-type]
        else:
            found += [Token(t.id, start + t.start, start + t.end) for t in tokens(tokenizer, typed[start:end])]
        start = end
    return found


def before(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer puts before every text."""
    read = encode(tokenizer, "a", return_special_tokens_mask=True)
    added = [bool(special) for special in read["special_tokens_mask"]]
    return read["input_ids"][: added.index(False)] if False in added else []


def beginning(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token after which a text begins: the one for that, or, as in GPT-2, the one that ends the text before."""
    return _first(tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id)


def ending(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The token that ends a text; None where the tokenizer has none."""
    return _first(tokenizer.eos_token_id, tokenizer.sep_token_id)


def padding(tokenizer: PreTrainedTokenizerBase) -> int:
    """What batches are filled up with; the mask hides it, whatever it is."""
    found = tokenizer.pad_token_id
    return found if isinstance(found, int) and found >= 0 else 0


def _first(*ids: int | None) -> int | None:
    return next((id for id in ids if id is not None), None)


def _special(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The names of all special tokens, longest first."""
    added: Iterable[Any] = tokenizer.added_tokens_decoder.values()
    names = {token.content for token in added if token.special and token.content}
    return sorted(names, key=lambda name: (-len(name), name))


def _is_word(tokenizer: PreTrainedTokenizerBase, name: str) -> bool:
    ids = encode(tokenizer, name, add_special_tokens=False)["input_ids"]
    return name != tokenizer.unk_token and tokenizer.convert_tokens_to_ids(name) in ids

"""A backbone's tokenizer: whether there is one that fits the model, and how much of texts it knows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backbones.places import read_with
from bench.backbones.weights import BackboneError
from records.text import reason

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


# Tokenizers that were read before anybody asked for them, by what they were read from.
_ready: dict[tuple[Any, ...], PreTrainedTokenizerBase] = {}


def make_ready(folder: Path, spec: str, embeddings: int | None) -> None:
    """Reads the tokenizer for whoever loads it next, here or in a fork of this process. Raises as `load` does."""
    before = _read_from(folder, spec, embeddings)  # as files are that change meanwhile nobody will ask for it
    _ready[before] = _read(folder, spec, embeddings)


def load(folder: Path, spec: str, embeddings: int | None) -> PreTrainedTokenizerBase:
    """The folder's tokenizer; one without a padding token pads with that for the end, which the mask hides.

    Raises BackboneError where there is none, where it cannot say where its tokens stand in a text, and where it makes
    tokens that are beyond the model's `embeddings`.
    """
    # One that is ready is had once: who has it may change it.
    found = _ready.pop(_read_from(folder, spec, embeddings), None) if _ready else None
    return _read(folder, spec, embeddings) if found is None else found


def _read_from(folder: Path, spec: str, embeddings: int | None) -> tuple[Any, ...]:
    """What tells a tokenizer from others, and its files from what they were."""
    states = [(path, path.stat()) for path in read_with(folder) if path.exists()]
    files = tuple((path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for path, state in states)
    return folder, spec, embeddings, files


def _read(folder: Path, spec: str, embeddings: int | None) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # of the many kinds that readers have for what they did not expect
        raise BackboneError(f"the tokenizer of {spec} cannot be read: {reason(error)}") from error
    # Without files transformers makes one up that knows nothing but its special tokens.
    names = tokenizer.vocab_files_names.values()
    if names and not any((folder / name).is_file() for name in names):
        raise BackboneError(
            f"{spec} has no tokenizer: none of {', '.join(sorted(names))} is in its folder; copy the tokenizer's files"
            " there, or save_pretrained() it there"
        )
    if not tokenizer.is_fast:
        raise BackboneError(
            f"{spec} has a tokenizer of the slow kind ({type(tokenizer).__name__}), which does not say where in a text"
            " its tokens stand; name a backbone with a tokenizer.json"
        )
    beyond = sorted(
        (index, token) for token, index in tokenizer.get_vocab().items() if index >= (embeddings or index + 1)
    )
    if beyond:
        shown = ", ".join(f"{token!r} ({index})" for index, token in beyond[:3])
        raise BackboneError(
            f"the tokenizer of {spec} makes tokens that its {embeddings} embeddings do not reach: {shown}"
            f"{f' and {len(beyond) - 3} more' if len(beyond) > 3 else ''}; take them out, or save the model after"
            " resize_token_embeddings(len(tokenizer))"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.name_or_path = spec  # which messages are about
    return tokenizer


def unknown_share(tokenizer: PreTrainedTokenizerBase, texts: Iterable[Sequence[int]]) -> float | None:
    """The share of unknown tokens among the texts', special tokens not counted; None where the tokenizer has no token
    of its own for what it does not know, or spells that in bytes."""
    import numpy as np

    t = tokenizer
    unknown = t.unk_token_id
    if unknown is None or unknown in (t.bos_token_id, t.eos_token_id, t.cls_token_id, t.sep_token_id, t.mask_token_id):
        return None
    if _spells_bytes(t):
        return None
    ids = np.concatenate([np.asarray(text, dtype=np.int64) for text in texts])
    read = ids[~np.isin(ids, [index for index in t.all_special_ids if index != unknown])]
    return float((read == unknown).mean()) if len(read) else 0.0


def _spells_bytes(tokenizer: PreTrainedTokenizerBase) -> bool:
    from tokenizers import models

    backend = tokenizer.backend_tokenizer
    # The others have no such option, and their vocabulary takes long to read.
    able = isinstance(backend.model, models.BPE | models.Unigram)
    return able and bool(json.loads(backend.to_str())["model"].get("byte_fallback"))

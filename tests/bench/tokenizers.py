"""Small tokenizers of every kind, trained on a few lines: they differ in what forms must not take for granted."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

QUESTION = "Which of these fits: no, yes?"
CORPUS = [
    "the warm soup was cold in Rome",
    "a far too long word",
    "he is in old Rome now",
    QUESTION,
    *["? yes", "? no"] * 40,
]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
NAMED = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}


def _byte_level(prefix: bool = False, merges_across_words: bool = False) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=not merges_across_words)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return backend


def _unigram() -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    letters = sorted({c for line in CORPUS for c in line})
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=SPECIAL, unk_token="<unk>", initial_alphabet=letters, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return backend


def _word_piece() -> Tokenizer:
    words = sorted({word.strip("?:,").lower() for line in CORPUS for word in line.split()})
    letters = list("abcdefghijklmnopqrstuvwxyz")
    names = [*SPECIAL, *words, *letters, *(f"##{letter}" for letter in letters), *"?:,</>"]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(names))}
    backend = Tokenizer(models.WordPiece(vocab=vocab, unk_token="<unk>"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend


def _words() -> Tokenizer:
    """Whole words, special tokens among them."""
    words = sorted({word for line in CORPUS for word in line.split()})
    vocab = {token: index for index, token in enumerate([*SPECIAL, *words, "<", "/s>", "s>"])}
    backend = Tokenizer(models.WordLevel(vocab=vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return backend


def _finish(backend: Tokenizer, template: str, **options: Any) -> PreTrainedTokenizerBase:
    if template != "$A":
        marks = [(name, backend.token_to_id(name)) for name in ("<s>", "</s>")]
        backend.post_processor = processors.TemplateProcessing(
            single=template, pair=f"{template} {template.replace('<s> ', '').replace('$A', '$B')}", special_tokens=marks
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **NAMED | options)


def make(kind: str, **options: Any) -> PreTrainedTokenizerBase:
    """`byte`, `merging` (over spaces), `prefixed` (with a space), `unigram`, `word piece` or `words`; after a colon
    what it puts around a text: `begins`, `ends` or `both`."""
    backend = {
        "byte": _byte_level,
        "merging": lambda: _byte_level(merges_across_words=True),
        "prefixed": lambda: _byte_level(prefix=True),
        "unigram": _unigram,
        "word piece": _word_piece,
        "words": _words,
    }[kind.partition(":")[0]]()
    around = {"": "$A", "begins": "<s> $A", "ends": "$A </s>", "both": "<s> $A </s>"}[kind.partition(":")[2]]
    return _finish(backend, around, **options)

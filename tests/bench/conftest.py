"""Tiny backbones of every architecture, for tests of forms and kinds of tasks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import PLUGINS


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An encoder, a decoder and an encoder-decoder of two layers, whose tokenizer knows the words of the tasks."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        BertConfig,
        BertModel,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    sys.path.insert(0, str(PLUGINS))
    try:
        import kinds
    finally:
        sys.path.remove(str(PLUGINS))
    words = [*kinds.WARM, *kinds.COLD, *kinds.OTHER, "colour"]
    special = ["<pad>", "<unk>", "<s>", "</s>"]
    rest = list("abcdefghijklmnopqrstuvwxyz0123456789.,:?")
    vocab = {token: index for index, token in enumerate([*special, *words, *rest])}
    backend = Tokenizer(models.WordPiece(vocab=vocab, unk_token="<unk>", continuing_subword_prefix=""))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[.,:?]"), "isolated")]
    )
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    named = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    shape = {
        "vocab_size": len(vocab),
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    layers = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    bart = {
        "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "decoder_start_token_id": 3,
        "forced_eos_token_id": None, "dropout": 0.0,
    }  # fmt: skip
    torch.manual_seed(0)
    made = {
        "encoder": BertModel(BertConfig(**shape, **layers, hidden_dropout_prob=0.0)),
        "decoder": LlamaForCausalLM(LlamaConfig(**shape, **layers)),
        "encoder-decoder": BartForConditionalGeneration(BartConfig(**shape, **bart)),
    }
    folders = {}
    for name, model in made.items():
        folders[name] = tmp_path_factory.mktemp("backbones") / name
        model.save_pretrained(folders[name])
        # The heads of encoder-decoders read a text's end, which their tokenizers write.
        backend.post_processor = (
            processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", vocab["</s>"])])
            if name == "encoder-decoder"
            else processors.TemplateProcessing(single="$A", special_tokens=[])
        )
        PreTrainedTokenizerFast(tokenizer_object=backend, **named).save_pretrained(folders[name])
    return folders

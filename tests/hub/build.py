"""Tiny models and data sets in the formats in which the hub has the real ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.hub import HubTask
    from tests.hub.server import Hub

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "good", "bad",
         "film", "plot"]  # fmt: skip


def bert(folder: Path) -> Path:
    """A BERT with random weights, its base model alone, as bert-base-uncased's loaders see it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    BertTokenizer(vocab={word: index for index, word in enumerate(WORDS)}).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=600, **size)).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A tiny BERT\n")
    return folder


def gpt2(folder: Path) -> Path:
    """A GPT-2 with random weights and a tokenizer of single bytes that has no padding token."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    _byte_tokenizer(folder, "<|endoftext|>")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=257, n_embd=32, n_layer=2, n_head=2, n_positions=2048, bos_token_id=256,
                        eos_token_id=256)  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def llama(folder: Path) -> Path:
    """A Llama with random weights and a tokenizer of single bytes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    _byte_tokenizer(folder, "</s>", pad="<pad>")
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=258, **size, max_position_embeddings=256, pad_token_id=257, bos_token_id=256,
                         eos_token_id=256)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def t5(folder: Path) -> Path:
    """A T5 with random weights and a tokenizer of single bytes."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    _byte_tokenizer(folder, "</s>", pad="<pad>")
    torch.manual_seed(0)
    config = T5Config(vocab_size=258, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, pad_token_id=257,
                      eos_token_id=256, decoder_start_token_id=257)  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def _byte_tokenizer(folder: Path, end: str, pad: str | None = None) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate([*alphabet, end, *([pad] if pad else [])])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    options = {"pad_token": pad} if pad else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, bos_token=end, **options).save_pretrained(folder)


def dataset(
    folder: Path, configs: Mapping[str, Mapping[str, Mapping[str, list]]], features: Mapping[str, object] | None = None
) -> Path:
    """A repository of Parquet files, one a split, and a README whose YAML names the configs, as nyu-mll/glue's."""
    import yaml
    from datasets import Dataset, Features

    entries = []
    for config, splits in configs.items():
        files = []
        for split, columns in splits.items():
            name = f"{config}/{split}-00000-of-00001.parquet"
            (folder / config).mkdir(parents=True, exist_ok=True)
            typed = Features(features) if features else None
            Dataset.from_dict(dict(columns), features=typed).to_parquet(str(folder / name))
            files.append({"split": split, "path": f"{config}/{split}-*"})
        entries.append({"config_name": config, "data_files": files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'license': 'mit', 'configs': entries})}---\n# Data\n")
    return folder


def json_lines(folder: Path, name: str, rows: list[dict]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def publish(hub: Hub, task: type[HubTask], splits: dict[str, list[dict]], config: str | None = None) -> None:
    """Rows as a data set of a hub's, known by the commit to which the task is pinned."""
    source = task.sources()[0]
    columns = {split: {key: [row[key] for row in rows] for key in rows[0]} for split, rows in splits.items()}
    dataset(hub.path("datasets", source.repo), {config or source.config or "default": columns})
    if len(source.revision) == 40:
        hub.pinned[source.repo] = source.revision


def glue_rows(count: int, label: int = 2, mark: str = "") -> list[dict]:
    return [
        {"sentence1": f"{mark} first {i}", "sentence2": f"second {i}", "label": i % label, "idx": i}
        for i in range(count)
    ]

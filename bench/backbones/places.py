"""Places where a backbone's files are: a folder, a GGUF file, the hub. Importing this needs no torch.

Each gives a `revision`, which says what the weights are; a folder with `config` and tokenizer, cheap to have; and the
folder with the `weights` as well, which may have to be fetched or converted first.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from bench.backbones import weights
from bench.backbones.weights import BackboneError
from bench.caches import CacheError, cache_folder, kept
from records.text import reason


class Place(Protocol):
    """Raises BackboneError, from any of these, where the files cannot be had."""

    @property
    def revision(self) -> str:
        """What the weights are."""

    @property
    def config(self) -> Path:
        """The folder with configuration and tokenizer."""

    @property
    def weights(self) -> Path:
        """The folder with the weights as well."""


@dataclass(frozen=True)
class Plain:
    """A folder as `save_pretrained` writes it. Without a `version` its revision is a digest of config, tokenizer and
    weights."""

    folder: Path
    version: str = ""

    @cached_property
    def revision(self) -> str:
        """The package's version, or a digest."""
        return self.version or digest([*read_with(self.folder), *sorted(self.folder.glob("*.safetensors"))])

    @property
    def config(self) -> Path:
        """The folder itself."""
        return self.folder

    @property
    def weights(self) -> Path:
        """The folder itself, once its weights are checked."""
        weights.check(self.folder)
        return self.folder


@dataclass(frozen=True)
class Gguf:
    """A file in the format GGUF, whose weights are brought back from a few bits each to numbers of 32, once, and kept
    under BENCH_CACHE. Without a `version` its revision is a digest of the file."""

    file: Path
    version: str = ""

    @cached_property
    def revision(self) -> str:
        """The package's version, or a digest."""
        return self.version or digest([self.file])

    @property
    def config(self) -> Path:
        """The folder with the converted weights."""
        return self.weights

    @cached_property
    def weights(self) -> Path:
        """What is there is held against its checksums once for each place, half a second for 540 MB: weights that were
        changed on the disk would train all the same."""
        try:
            return kept(
                cache_folder() / "converted" / f"{self.file.stem}-{digest([self.file])}", lambda: _converted(self.file)
            )
        except CacheError as error:
            raise BackboneError(str(error)) from error


def _converted(file: Path) -> Callable[[Path], None]:
    """Reads the file, which takes a minute, and returns what saves it as `save_pretrained` does."""
    if importlib.util.find_spec("gguf") is None:
        raise BackboneError(f"{file.name} is in the format GGUF; to read it: pip install gguf")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    decoder: Any = AutoModelForCausalLM
    source: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        read, info = decoder.from_pretrained(file.parent, dtype=torch.float32, output_loading_info=True, **source)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **source)
    except Exception as error:  # of the many kinds that a reader has for bytes that it did not expect
        raise BackboneError(f"{file} cannot be read as GGUF: {reason(error)}") from error
    if lacking := sorted(info["missing_keys"]):
        raise BackboneError(f"{file} carries no weights for {lacking[0]}, which its architecture asks for")
    # transformers regards what it read as quantised for good; the same weights in a model of its own are not.
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    model = decoder.from_config(read.config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return save


@dataclass(frozen=True)
class ConfigOnly:
    """Of another place the dimensions and the tokenizer, for weights drawn at random."""

    place: Place

    @cached_property
    def revision(self) -> str:
        """Of a folder what its config and its tokenizer say; what is on the hub has a commit."""
        return digest(read_with(self.place.config)) if isinstance(self.place, Plain) else self.place.revision

    @property
    def config(self) -> Path:
        """That of the other place."""
        return self.place.config

    @property
    def weights(self) -> Path:
        """The configuration alone: there are no weights."""
        return self.place.config


def read_with(folder: Path) -> list[Path]:
    """What decides, beside the weights, on what a model makes of a text."""
    names = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "chat_template*",
             "spiece.model", "sentencepiece*.model", "spm*.model")  # fmt: skip
    found = {path for name in names for path in folder.glob(name) if path.is_file()}
    return [folder / "config.json", *sorted(found)]


def digest(files: Iterable[Path]) -> str:
    """Twelve hexadecimal digits. Of a large file the size and 64 evenly spaced blocks are read, so that the time taken
    does not grow with the model."""
    found = hashlib.sha256()
    for path in files:
        if path.suffix == ".json":
            found.update(path.read_bytes())
            continue
        size = path.stat().st_size
        found.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for index in range(64):
                file.seek(size * index // 64)
                found.update(file.read(2**16))
    return found.hexdigest()[:12]


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as data. Raises BackboneError where it is not what transformers writes, or says that the weights are
    none that can be trained."""
    path = folder / "config.json"
    if (folder / "adapter_config.json").is_file():
        raise BackboneError(
            f"'{folder}' is the folder of an adapter, not of a model{_base_of(folder / 'adapter_config.json')}; name"
            " the base model, or save both as one with merge_and_unload() and save_pretrained()"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"'{folder}' has no readable config.json: {reason(error)}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise BackboneError(f"'{path}' names no model_type, so its architecture is not known")
    for key, kind in (("num_labels", int), ("id2label", dict), ("label2id", dict)):
        if not isinstance(config.get(key, kind()), kind | None):
            raise BackboneError(f"'{path}' has the wrong type for {key}: {config[key]!r}")
    if quantised := config.get("quantization_config"):
        by = quantised.get("quant_method", "") if isinstance(quantised, dict) else ""
        raise BackboneError(
            f"'{path}' says that the weights are quantised{f' ({by})' if by else ''}, and those are neither trained nor"
            " compared; name the model in full precision, and for four bits the method qlora"
        )
    return config


def _base_of(adapter: Path) -> str:
    try:
        base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"; its base model is {base!r}" if base else ""

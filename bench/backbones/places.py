"""Places where a backbone's files are: a folder, a GGUF file, the hub. Importing this needs no torch.

Each gives a `revision`, which says what the weights are; a folder with `config` and tokenizer, cheap to have; and the
folder with the `weights` as well, which may have to be fetched or converted first.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol


class BackboneError(Exception):
    """A backbone cannot be had; the message says in one line why, and what to do."""


@dataclass(frozen=True)
class Card:
    """What a report must know of a backbone. `citation` is one key of `bibtex`, or several with commas between."""

    name: str
    title: str
    architecture: str
    summary: str
    licence: str
    citation: str = ""
    bibtex: str = ""
    parameters: int | None = None


class Place(Protocol):
    """Raises BackboneError, from any of these, where the files cannot be had."""

    @property
    def revision(self) -> str: ...

    @property
    def config(self) -> Path: ...

    @property
    def weights(self) -> Path: ...


@dataclass(frozen=True)
class Plain:
    """A folder as `save_pretrained` writes it. Without a `version` its revision is a digest of config and weights."""

    folder: Path
    version: str = ""

    @cached_property
    def revision(self) -> str:
        return self.version or digest([self.config / "config.json", *sorted(self.folder.glob("*.safetensors"))])

    @property
    def config(self) -> Path:
        return self.folder

    @property
    def weights(self) -> Path:
        if not list(self.folder.glob("*.safetensors")):
            raise BackboneError(f"backbone '{self.folder}' has no *.safetensors weights; other formats are not read")
        return self.folder


@dataclass(frozen=True)
class Gguf:
    """A file in the format GGUF, whose weights are brought back from a few bits each to numbers of 32, once, and kept
    under BENCH_CACHE. Without a `version` its revision is a digest of the file."""

    file: Path
    version: str = ""

    @cached_property
    def revision(self) -> str:
        return self.version or digest([self.file])

    @property
    def config(self) -> Path:
        return self.weights

    @cached_property
    def weights(self) -> Path:
        from filelock import FileLock

        folder = cache_folder() / "converted" / f"{self.file.stem}-{digest([self.file])}"
        if folder.is_dir():
            return folder
        if importlib.util.find_spec("gguf") is None:
            raise BackboneError(f"{self.file.name} is in the format GGUF; to read it: pip install gguf")
        folder.parent.mkdir(parents=True, exist_ok=True)
        # It takes a minute: of several processes one does it, and the others wait.
        with FileLock(f"{folder}.lock"):
            if folder.is_dir():
                return folder
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as temporary:
                _convert(self.file, Path(temporary) / folder.name)
                (Path(temporary) / folder.name).rename(folder)
        return folder


def _convert(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        read = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **source)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **source)
    except (ValueError, OSError, KeyError) as error:
        raise BackboneError(f"{file} cannot be read as GGUF: {' '.join(str(error).split())[:200]}") from error
    # transformers regards what it read as quantised for good; the same weights in a model of its own are not.
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@dataclass(frozen=True)
class ConfigOnly:
    """Of another place the dimensions and the tokenizer, for weights drawn at random."""

    place: Place

    @cached_property
    def revision(self) -> str:
        """Of a folder what its config says; what is on the hub has a commit."""
        return digest([self.place.config / "config.json"]) if isinstance(self.place, Plain) else self.place.revision

    @property
    def config(self) -> Path:
        return self.place.config

    @property
    def weights(self) -> Path:
        return self.place.config


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


def cache_folder() -> Path:
    return Path(os.environ.get("BENCH_CACHE", "~/.cache/adaptbench")).expanduser()


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as data. Raises BackboneError where it is not what transformers writes."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"'{folder}' has no readable config.json: {error}") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise BackboneError(f"'{folder / 'config.json'}' names no model_type, so its architecture is not known")
    return config

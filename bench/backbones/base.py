"""A backbone: found by its spec, loaded with the head that a task's form asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backbones import vocabulary, weights
from bench.backbones.embedded import EMBEDDED
from bench.backbones.hub import SPEC, Hub
from bench.backbones.loading import (
    architecture,
    check_shapes,
    empty,
    filled,
    fresh_parameters,
    from_folder,
    from_tensors,
    read_configuration,
    without_head,
)
from bench.backbones.places import ConfigOnly, Gguf, Place, Plain, read_config
from bench.backbones.weights import BackboneError
from bench.forms.base import Head, NoSuchForm
from records.cards import BackboneCard as Card
from records.text import reason

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from methods.anatomy import Anatomy

# Before a folder's path or a hub id: the dimensions of that model, with random weights.
RANDOM = "config:"
EMBEDDED_PREFIX = "embedded:"

# Of configurations, as text, that were looked at here or in the process that this one was forked from.
_positions: dict[str, int | None] = {}


@dataclass(frozen=True)
class Backbone:
    """A backbone, by its spec.

    - `embedded:<name>`, which a package carries;
    - the path of a folder that `save_pretrained` wrote, or of a file in the format GGUF;
    - `organisation/name` or `organisation/name@revision` of the hub;
    - `config:` before the last two: random weights, drawn by the seed, in the dimensions of that model.
    """

    spec: str
    place: Place = field(repr=False)
    card: Card = field(repr=False)

    @classmethod
    def find(cls, spec: str, base: Path = Path(), revision: str | None = None) -> Backbone:
        """A relative path is seen from `base`, the suite's folder. `revision` pins a backbone of the hub to a commit,
        such as the one that a cell's identity holds. Raises BackboneError where there is no such backbone; loads no
        weights, but looks a hub id up."""
        if spec.startswith(RANDOM):
            inner = cls._find(spec.removeprefix(RANDOM), base, revision)
            return cls(spec, ConfigOnly(inner.place), _random(spec, inner.card))
        found = cls._find(spec, base, revision)
        if isinstance(found.place, Plain):
            _ = found.place.weights
        return found

    @classmethod
    def _find(cls, spec: str, base: Path, revision: str | None) -> Backbone:
        if spec.startswith(EMBEDDED_PREFIX):
            embedded = EMBEDDED.get(spec.removeprefix(EMBEDDED_PREFIX))
            if embedded is None:
                raise BackboneError(f"unknown backbone {spec!r}")
            return cls(spec, embedded.place(), embedded.card)
        try:
            path = base / Path(spec).expanduser()
            file, folder = path.is_file(), path.is_dir()
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, of nobody's home, with a null byte
            raise BackboneError(f"unknown backbone {spec[:100]!r}: {reason(error)}") from error
        if file and path.suffix == ".gguf":
            return cls(spec, Gguf(path), _own(spec, path.stem, "as the file says"))
        if folder and ((path / "config.json").exists() or not SPEC.fullmatch(spec) or list(path.glob("adapter_*"))):
            return cls(spec, Plain(path), _own(spec, path.resolve().name, read_config(path)["model_type"]))
        if named := SPEC.fullmatch(spec):
            place = Hub(named["repo"], revision or named["revision"] or "main")
            return cls(spec, place, place.card(spec))
        raise BackboneError(
            f"unknown backbone {spec!r}: neither an embedded one, nor a folder with a config.json, nor a GGUF file, nor"
            " organisation/name on the hub"
        )

    @property
    def revision(self) -> str:
        """Which weights these are, for a cell's identity: a package's version, the hub's commit, or a digest."""
        return self.place.revision

    @property
    def module(self) -> str:
        """The module of transformers that holds the architecture: importing it takes longer than loading a
        small model, so it is done once, ahead of the cells."""
        kind = read_config(self.place.config)["model_type"].replace("-", "_")
        return f"transformers.models.{kind}.modeling_{kind}"

    def fetch(self) -> None:
        """Has the weights downloaded, or converted, so that `load` finds them. Raises BackboneError."""
        _ = self.place.weights

    def check(self) -> None:
        """Raises BackboneError where the configuration describes no model, the tokenizer does not fit it, or the
        weights, as far as they are on this machine, are not those of that model. Loads none of them."""
        config = self.configuration()
        if config.is_encoder_decoder and config.decoder_start_token_id is None:
            raise BackboneError(
                f"the config.json of {self.spec} names no decoder_start_token_id to begin an answer with"
            )
        model = empty("AutoModel", config, self.spec)
        if isinstance(self.place, Plain | Gguf):
            check_shapes(model, self.place.weights, self.spec)
        self.tokenizer()

    def anatomy(self) -> Anatomy | None:
        """That of a model with the backbone's dimensions and without weights (on the meta device); None where
        the architecture is not described, which its cells will say."""
        return self._anatomy(self.configuration())

    def _anatomy(self, config: PreTrainedConfig) -> Anatomy | None:
        from methods.anatomy import Anatomy, UnsupportedBackbone

        try:
            model = empty(architecture(Head("sequence"), config), config, self.spec)
            return Anatomy(model, fresh_parameters(model))
        except (UnsupportedBackbone, NoSuchForm):
            return None

    @property
    def positions(self) -> int | None:
        """How many tokens it reads at most: as many as it has learned positions for, or, where these are rotary, was
        trained with; None where they are relative, and where the architecture is not described."""
        config = self.configuration()
        said = config.to_json_string(use_diff=False)
        if said not in _positions:
            _positions[said] = self._count_positions(config)
        return _positions[said]

    def _count_positions(self, config: PreTrainedConfig) -> int | None:
        anatomy = self._anatomy(config)
        if anatomy is None:
            return None
        if anatomy.max_positions is not None:
            return anatomy.max_positions
        # DeBERTa may have a table beside its relative positions.
        counted = ("rope_parameters", "position_biased_input")
        limited = any(getattr(anatomy.config, name, None) for name in counted)
        return anatomy.config.max_position_embeddings if limited else None

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The backbone's own. Raises BackboneError as `vocabulary.load` does."""
        return vocabulary.load(*self._vocabulary())

    def make_ready(self) -> None:
        """Does what need not be done again by the next that loads it, also in a fork of this process. Raises
        BackboneError."""
        vocabulary.make_ready(*self._vocabulary())
        _ = self.positions
        # Of every kind of model transformers compiles how it renames the weights when it first loads one.
        check_shapes(empty("AutoModel", self.configuration(), self.spec), self.place.weights, self.spec)

    def _vocabulary(self) -> tuple[Path, str, int | None]:
        """What the tokenizer is read from, and how many tokens the model knows."""
        embeddings = getattr(self.configuration().get_text_config(), "vocab_size", None)
        return self.place.config, self.spec, embeddings

    @property
    def generates(self) -> bool:
        """Whether it goes on with a text: a decoder or an encoder-decoder does, an encoder does not."""
        return _generates(self.configuration())

    @property
    def encodes_and_decodes(self) -> bool:
        """Whether it reads with an encoder and answers with a decoder."""
        return bool(self.configuration().is_encoder_decoder)

    def load(self, head: Head, seed: int) -> tuple[PreTrainedModel, frozenset[str]]:
        """The backbone in fp32 under a head, and the names of the parameters that are fresh: a classifier's, and none
        of a language model. A classifier that the weights bring along from another training is left out.

        Their initial values depend on the seed alone, so that every method starts from the same. Raises BackboneError
        where the weights cannot be had or are not those of the configuration, or where a language model is asked of an
        encoder; NoSuchForm where the architecture has no such head.
        """
        import torch
        import transformers
        from accelerate.utils import set_seed

        folder = self.place.weights
        config = self.configuration(**({} if head.kind == "language" else {"num_labels": head.outputs}))
        if head.kind == "language" and not _generates(config):
            raise BackboneError(
                f"{self.spec} is an encoder and generates no text; name a decoder or an encoder-decoder, such as"
                " embedded:smollm2-135m, or put the task to it with a head"
            )
        auto = architecture(head, config)
        model = empty(auto, config, self.spec)
        fresh = frozenset() if head.kind == "language" else frozenset(fresh_parameters(model))
        set_seed(seed)
        if isinstance(self.place, ConfigOnly):
            return getattr(transformers, auto).from_config(config, dtype=torch.float32), fresh
        if head.kind == "language":
            return filled(model, from_folder(folder), fresh, self.spec)[0], fresh
        stored = without_head(weights.tensors(folder), model)
        model, missing = filled(model, from_tensors(stored), fresh, self.spec)
        return model, fresh | missing

    def configuration(self, **options: Any) -> PreTrainedConfig:
        """As transformers reads it, with these options. Raises BackboneError."""
        return read_configuration(self.place.config, self.spec, **options)


def _generates(config: PreTrainedConfig) -> bool:
    """Whether a model was trained to go on with a text. transformers gives many an encoder a class for it as well: what
    tells them is that it also has one for gaps, which decoders have not."""
    from transformers.models.auto import modeling_auto as auto

    if config.is_encoder_decoder:
        return True
    decodes = config.model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    encodes = config.model_type in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return decodes and (not encodes or bool(getattr(config, "is_decoder", False)))


def _own(spec: str, title: str, architecture: str) -> Card:
    return Card(
        name=spec, title=title, architecture=architecture, summary="A model of the user's own.", licence="unknown"
    )


def _random(spec: str, card: Card) -> Card:
    return Card(
        name=spec,
        title=f"{card.title}, random weights",
        architecture=card.architecture,
        summary=f"The dimensions of {card.title} with weights drawn at random by the seed: for cost, not for quality.",
        licence=card.licence,
        citation=card.citation,
        bibtex=card.bibtex,
        parameters=card.parameters,
    )

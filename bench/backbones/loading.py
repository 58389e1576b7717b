"""Models of transformers, made of a configuration and of tensors that are held against it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backbones import weights
from bench.backbones.places import read_config
from bench.backbones.weights import BackboneError
from bench.forms.base import NoSuchForm
from records.text import reason

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from bench.forms.base import Head


def read_configuration(folder: Path, spec: str, **options: Any) -> PreTrainedConfig:
    """Raises BackboneError where transformers does not know the architecture, or a value has the wrong type."""
    from transformers import CONFIG_MAPPING, AutoConfig, __version__

    said = read_config(folder)
    if said["model_type"] not in CONFIG_MAPPING:
        if "auto_map" in said:
            raise BackboneError(f"{spec} needs code of its own ({said['model_type']}), and that is never run")
        raise BackboneError(f"{spec} is a {said['model_type']!r}, which transformers {__version__} does not know")
    try:
        found: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, **options
        )
    except Exception as error:  # of the many kinds that a reader has for what it did not expect
        raise BackboneError(f"the config.json of {spec} is none that transformers reads: {reason(error)}") from error
    return found


def architecture(head: Head, config: PreTrainedConfig) -> str:
    """The auto class of transformers for that head. Raises NoSuchForm where the architecture has none."""
    from transformers.models.auto import modeling_auto as auto

    if head.kind == "language":
        return "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"
    known = {
        "sequence": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "token": auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    }[head.kind]
    if config.model_type not in known:
        raise NoSuchForm(f"transformers has no {config.model_type} with a head for each {head.kind}")
    return f"AutoModelFor{head.kind.capitalize()}Classification"


def empty(auto: str, config: PreTrainedConfig, spec: str) -> PreTrainedModel:
    """The model without weights, on the meta device. Raises BackboneError where the configuration describes none."""
    import torch
    import transformers

    try:
        with torch.device("meta"):
            model: PreTrainedModel = getattr(transformers, auto).from_config(config, dtype=torch.float32)
    except Exception as error:  # whatever its numbers lead to
        raise BackboneError(f"the config.json of {spec} describes no model: {reason(error)}") from error
    return model


def fresh_parameters(model: PreTrainedModel) -> set[str]:
    """The parameters outside the pretrained backbone: those of the head."""
    prefix = model.base_model_prefix + "."
    return {name for name, _ in model.named_parameters() if not name.startswith(prefix)}


def without_head(stored: Mapping[str, Any], model: PreTrainedModel) -> dict[str, Any]:
    """The tensors but those of a head such as the model's, which another training has left."""
    prefix = model.base_model_prefix + "."
    fresh = fresh_parameters(model)
    heads = {name.partition(".")[0] for name in fresh}
    # A base model is saved without the prefix.
    own = {name.removeprefix(prefix) for name, _ in model.named_parameters() if name not in fresh}
    return {name: tensor for name, tensor in stored.items() if name.partition(".")[0] not in heads or name in own}


def filled(
    model: PreTrainedModel, source: Mapping[str, Any], fresh: Collection[str], spec: str
) -> tuple[PreTrainedModel, set[str]]:
    """A model such as this one, in fp32, from a `source` that `from_pretrained` takes, and the names of the parameters
    that the source has not: these are drawn at random, and may be none but the `fresh` ones and a pooler.

    Raises BackboneError where others are missing, are of another shape, or belong to layers that the model has not.
    """
    import torch

    kind: Any = type(model)
    options = {"trust_remote_code": False, "local_files_only": True, "ignore_mismatched_sizes": True}
    try:
        found, info = kind.from_pretrained(
            **source, config=model.config, dtype=torch.float32, output_loading_info=True, **options
        )
    except (ValueError, OSError, RuntimeError, KeyError) as error:
        raise BackboneError(f"the weights of {spec} cannot be loaded: {reason(error)}") from error
    buffers = {name for name, _ in found.named_buffers()}
    missing = set(info["missing_keys"]) - buffers
    lacking = sorted(name for name in missing - set(fresh) if "pooler" not in name.split("."))
    if lacking and hasattr(model, model.base_model_prefix) and fresh_parameters(model).issuperset(lacking):
        raise BackboneError(
            f"{spec} carries no weights for {', '.join(lacking[:3])}: it was saved without its language model's head,"
            " and generates no text"
        )
    if lacking:
        others = sorted(info["unexpected_keys"])
        raise BackboneError(
            f"{spec} carries no weights for {_listed(lacking)}, which its config.json asks for"
            f"{f', but for {_listed(others)}' if others else ''}; save the whole model again, without what is wrapped"
            " around it"
        )
    if mismatched := sorted(info["mismatched_keys"]):
        name, stored, expected = mismatched[0]
        raise BackboneError(
            f"{spec} carries weights of another shape than its config.json says: {name} is {_shape(stored)}, not"
            f" {_shape(expected)}"
        )
    if left := _of_further_layers(model, info["unexpected_keys"]):
        raise BackboneError(f"{spec} carries weights of more layers than its config.json says: {_listed(left)}")
    return found, missing


def _of_further_layers(model: PreTrainedModel, names: Collection[str]) -> list[str]:
    """Those of the names that lie beyond the end of one of the model's lists of layers."""
    from torch import nn

    prefix = model.base_model_prefix + "."
    counts = {
        name.removeprefix(prefix): len(part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList)
    }
    found = []
    for name in sorted(names):
        numbered = re.match(r"(.+?)\.(\d+)\.", name.removeprefix(prefix))
        if numbered and int(numbered[2]) >= counts.get(numbered[1], math.inf):
            found.append(name)
    return found


def check_shapes(model: PreTrainedModel, folder: Path, spec: str) -> None:
    """As `filled`, from nothing but the headers of the folder's files."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    stored = {name: torch.empty(shape, device="meta") for name, shape in weights.shapes(folder).items()}
    filled(model, from_tensors(stored) | {"device_map": {"": "meta"}}, (), spec)


def from_tensors(stored: Mapping[str, Any]) -> dict[str, Any]:
    """For `filled`: tensors in memory."""
    return {"pretrained_model_name_or_path": None, "state_dict": stored}


def from_folder(folder: Path) -> dict[str, Any]:
    """For `filled`: a folder of safetensors."""
    return {"pretrained_model_name_or_path": folder, "use_safetensors": True}


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _shape(shape: Collection[int]) -> str:
    return "×".join(map(str, shape))

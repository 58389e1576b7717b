"""What methods have learnt, in the words of huggingface/peft, which names modules and tensors its own way.

Where one module holds several projections (GPT-2's `c_attn`), what stands beside its parts is put together to what
stands beside the whole of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from methods.anatomy import Anatomy
from methods.base import NotInPeft, PeftForm
from methods.composition.parameters import UpdatedLinear

# In a `PeftModel`, before the plain names of the model inside; and what an adapter is called that has no name.
INSIDE = "base_model.model."
ADAPTER = "default"

# ΔW = scale · up · down: up (out × rank), down (rank × in), scale.
Factors = tuple[Tensor, Tensor, float]


def updated_modules(model: nn.Module) -> dict[str, UpdatedLinear]:
    """Every projection with an update, by the name that it has in the plain model as well."""
    return {name: module for name, module in model.named_modules() if isinstance(module, UpdatedLinear)}


def beside_parts(module: UpdatedLinear, values: Mapping[str, Tensor], elsewhere: Tensor) -> Tensor:
    """For all outputs (out, …) of a module: the values of each part that has some, and what stands elsewhere."""
    shares = list(elsewhere.chunk(module.parts))
    for share, value in values.items():
        shares[int(share)] = value
    return torch.cat(shares)


def projections(model: nn.Module, names: Collection[str]) -> dict[str, Any]:
    """The options of peft's configuration that say which projections are adapted, as shortly as they say just that."""
    last = {name.rpartition(".")[2] for name in names}
    short = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in last} == set(names)
    modules = updated_modules(model)
    bases = [modules[name].base for name in names]
    transposed = any(isinstance(base, Conv1D) or getattr(base, "transposed", False) for base in bases)
    return {"target_modules": sorted(last if short else names), "fan_in_fan_out": transposed}


def low_rank_form(model: nn.Module, factors: Callable[[Any], Factors], note: str = "", **options: Any) -> PeftForm:
    """Updates as peft's LoRA. The factors of a module's parts become a block each; a part's update of rank zero is
    left out. Raises NotInPeft where nothing is left."""
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for name, module in updated_modules(model).items():
        found = {share: factors(update) for share, update in module.updates.items()}
        rank = sum(len(down) for _, down, _ in found.values())
        if not rank:
            continue
        [scale] = {scale for *_, scale in found.values()}
        outputs = next(iter(found.values()))[0].shape[0]
        ups = [_block(up, int(share) * outputs, module.parts * outputs) for share, (up, *_) in found.items()]
        tensors[f"{INSIDE}{name}.lora_A.{ADAPTER}.weight"] = torch.cat([down for _, down, _ in found.values()])
        tensors[f"{INSIDE}{name}.lora_B.{ADAPTER}.weight"] = torch.cat(ups, dim=1)
        ranks[name], alphas[name] = rank, scale * rank
    if not ranks:
        raise NotInPeft("no update is left: its ranks have all become zero")
    usual = Counter(ranks.values()).most_common(1)[0][0]
    alpha = Counter(alphas.values()).most_common(1)[0][0]
    own = {
        "r": usual,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "rank_pattern": {name: value for name, value in ranks.items() if value != usual},
        "alpha_pattern": {name: value for name, value in alphas.items() if value != alpha},
    }
    return PeftForm("LORA", projections(model, ranks) | own | options, tensors, note)


def _block(up: Tensor, start: int, outputs: int) -> Tensor:
    """A part's factor (out, rank), among the rows of all outputs of its module."""
    whole = up.new_zeros(outputs, up.shape[1])
    whole[start : start + len(up)] = up
    return whole


def prompt_form(anatomy: Anatomy, vectors: Tensor) -> PeftForm:
    """A prompt (length × embedding size) as the vectors of peft's prompt tuning. Raises NotInPeft where peft would put
    it elsewhere."""
    if not anatomy.causal and not anatomy.encodes_and_decodes:
        raise NotInPeft(
            "peft puts a prompt before the first token of an encoder, from which the head reads; here it stands after"
        )
    if anatomy.encodes_and_decodes and anatomy.head:
        raise NotInPeft("peft puts no prompt before an encoder-decoder under a task head")
    length, size = vectors.shape
    options = {"num_virtual_tokens": length, "token_dim": size, "num_transformer_submodules": 1} | _shape(anatomy)
    note = "" if anatomy.encodes_and_decodes or not anatomy.head else (
        "With a prompt in front peft's model reads the last position of a batch, padding or not: give it texts of one"
        " length at a time."
    )  # fmt: skip
    return PeftForm("PROMPT_TUNING", options, {f"prompt_encoder.{ADAPTER}.embedding.weight": vectors}, note)


@torch.no_grad()
def prefix_form(anatomy: Anatomy, prefixes: list[tuple[Tensor, Tensor]]) -> PeftForm:
    """Keys and values (heads, length, d) of each layer as peft's cache of them. peft counts a text's positions on from
    the prefix: where positions are rotary, keys are turned as far, so that they meet queries as before.

    Raises NotInPeft where positions are learned, and for anything but a decoder.
    """
    if not anatomy.causal:
        raise NotInPeft("peft puts a prefix into a cache of keys and values, which decoders alone read")
    rotary = getattr(anatomy.reader, "rotary_emb", None)
    if rotary is None:
        raise NotInPeft("peft counts the positions of a text on from the prefix, and this backbone has learned them")
    heads, length, size = prefixes[0][0].shape
    cos, sin = rotary(prefixes[0][0], torch.tensor([[length]], device=prefixes[0][0].device))  # each (1, 1, d)
    rows = []
    for key, value in prefixes:
        half = size // 2
        turned = key * cos + torch.cat([-key[..., half:], key[..., :half]], dim=-1) * sin
        rows += [turned, value]
    # (2 · layers, heads, length, d) to (length, 2 · layers · heads · d)
    flat = torch.stack(rows).permute(2, 0, 1, 3).reshape(length, -1)
    options = {"num_virtual_tokens": length, "num_transformer_submodules": 1, "prefix_projection": False}
    options |= _shape(anatomy) | {"num_attention_heads": heads, "token_dim": heads * size}
    return PeftForm("PREFIX_TUNING", options, {f"prompt_encoder.{ADAPTER}.embedding.weight": flat})


def _shape(anatomy: Anatomy) -> dict[str, Any]:
    """What peft otherwise reads from a configuration, in which not every architecture has it where peft looks."""
    return {"num_layers": anatomy.num_layers, "num_attention_heads": anatomy.num_heads}

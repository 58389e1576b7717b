"""A cell's frozen weights divided among its ranks, so that a backbone may be larger than the memory of one device.

Fully sharded data parallelism (Zhao et al., PVLDB 2023), torch's second one: each rank holds a share of every layer's
weights, and the layer is put together on all of them for as long as it computes. What is trained is small, and stays
whole on each rank, so that methods, the optimiser and what is kept are as they are without it.

Every pass through the model is then an exchange: all ranks make as many of them, in the same order, or wait for each
other for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from bench import ranks

if TYPE_CHECKING:
    from methods.anatomy import Anatomy

# Of the layers' weights at least this share is divided: with less the exchange costs, and saves nothing.
LEAST = 0.1


class NotShardable(Exception):
    """The weights of a model as a method has adapted it cannot be divided."""

    def __init__(self, why: str) -> None:
        super().__init__(f"its processes cannot divide the backbone's weights: {why}; run it without shard")


def shard(anatomy: Anatomy, device: torch.device) -> None:
    """Divides the frozen weights of an adapted model among the ranks, and puts the rest on the device. Only layers, the
    table of words and a language model's head are divided, of these what no other module shares.

    Raises NotShardable where the method trains nearly all weights, changes single entries of them, or packs them.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = anatomy.model
    layers = [layer.module for layer in anatomy.layers]
    units = [*layers, *_tables(anatomy)]
    divided = _divisible(model, units)
    if any(is_parametrized(module) for layer in layers for module in layer.modules()):
        raise NotShardable("the method changes single entries of them, which takes them whole")
    if any(buffer.dtype == torch.uint8 for layer in layers for buffer in layer.buffers()):
        raise NotShardable("they are in four bits")
    of_layers = list(dict.fromkeys(parameter for layer in layers for parameter in layer.parameters()))
    if _size(divided.intersection(of_layers)) < LEAST * _size(of_layers):
        raise NotShardable("nearly all of them are trained")
    whole = set(model.parameters()) - divided
    for parameter in whole:
        parameter.data = parameter.data.to(device)
    mesh = init_device_mesh(device.type, (ranks.count(),))
    for unit in units:
        if divided.intersection(unit.parameters()):
            fully_shard(unit, mesh=mesh, ignored_params=whole)
    # Of what is left nothing is divided. Without a root each layer would keep what it has put together last.
    fully_shard(model, mesh=mesh, ignored_params=whole)


def is_sharded(model: nn.Module) -> bool:
    """Whether its weights are divided among the ranks."""
    if ranks.count() == 1:
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


def require_whole(trained: Iterable[torch.Tensor]) -> None:
    """Raises NotShardable where a phase trains weights that have been divided."""
    if any(ranks.is_divided(parameter) for parameter in trained):
        raise NotShardable("a later phase of the method trains some that are frozen at first")


def _tables(anatomy: Anatomy) -> list[nn.Module]:
    """The table of words and a language model's head, where a method has left them as they are."""
    model = anatomy.model
    tables = model.get_input_embeddings(), model.get_output_embeddings()
    return [table for table in tables if isinstance(table, (nn.Embedding, nn.Linear))]


def _divisible(model: nn.Module, units: Sequence[nn.Module]) -> set[nn.Parameter]:
    """The frozen parameters of the units that one module alone has."""
    owners = Counter(parameter for module in model.modules() for parameter in module.parameters(recurse=False))
    return {
        parameter
        for unit in units
        for parameter in unit.parameters()
        if not parameter.requires_grad and parameter.is_floating_point() and owners[parameter] == 1
    }


def _size(parameters: Iterable[nn.Parameter]) -> int:
    """Bytes."""
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)

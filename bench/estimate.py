"""What a method costs on a backbone, counted without running it: no weights, no data, no accelerator.

The model is built of tensors that have shapes and no values (PyTorch's fake tensors), the method adapts it as it would
any other, and one training step goes through it on paper. So parameters, bytes and FLOPs are those that a profile
counts, of a model of any size.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from bench.backbones import Backbone, BackboneError
from bench.forms.base import Head
from methods.anatomy import Anatomy
from methods.base import Method, MethodBase

if TYPE_CHECKING:
    from torch import Tensor, nn

Weights = Literal["fp32", "bf16", "nf4"]

# Bytes of a parameter that is not trained. NF4 holds the layers' projections, and all else is in bf16: half a byte, and
# of constants, which are quantised in turn, 8 bits for each 64 parameters and 32 for each 64 × 256 (Dettmers et al.
# 2023).
BYTES: dict[Weights, float] = {"fp32": 4.0, "bf16": 2.0, "nf4": 2.0}
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
# What is trained is held in fp32, and so are its gradient and AdamW's two moments.
TRAINED = 4
# Where a configuration keeps the dropout of attention's probabilities. Fused kernels keep none of them; PyTorch's on
# a processor do, where there is dropout.
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")


class NotCounted(Exception):
    """A method that cannot be counted without values; the message is the reason."""


@dataclass(frozen=True)
class Shape:
    """What a training step is to be: `batch` texts of `length` tokens; a head with so many `outputs`, or the language
    model's own with `text`; `autocast` to bf16 or not; how what is not trained is held; and whether layers keep their
    inputs alone (`checkpointing`)."""

    batch: int = 32
    length: int = 128
    outputs: int = 2
    text: bool = False
    autocast: bool = True
    weights: Weights = "fp32"
    checkpointing: bool = False


@dataclass(frozen=True)
class Estimate:
    """What was counted: parameters (`trained` has no head), bytes, and the FLOPs of a training step."""

    method: str
    backbone: int
    trained: int
    head: int
    stored_bytes: int
    weights_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    train_flops: int

    @property
    def percent(self) -> float:
        """The share of the backbone's parameters that is trained."""
        return 100 * self.trained / self.backbone

    @property
    def fixed_bytes(self) -> int:
        """Memory that does not depend on the batch."""
        return self.weights_bytes + self.gradient_bytes + self.optimizer_bytes

    @property
    def memory_bytes(self) -> int:
        """Of a training step, in all: temporary buffers and what an allocator reserves come on top."""
        return self.fixed_bytes + self.activation_bytes


@dataclass
class _Saved:
    """Bytes that are kept for the backward pass, by storage, within the layers and outside of them."""

    own: set[int]
    layers: int = 0
    inputs: int = 0
    depth: int = 0
    inside: dict[int, int] = field(default_factory=dict)
    outside: dict[int, int] = field(default_factory=dict)

    def note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.own:
            (self.inside if self.depth else self.outside)[storage._cdata] = storage.nbytes()
        return tensor

    def bytes(self, checkpointing: bool) -> int:
        """With `checkpointing`, layers keep their inputs, and one at a time what it needs."""
        inside, outside = sum(self.inside.values()), sum(self.outside.values())
        if not checkpointing or not self.layers:
            return inside + outside
        return outside + self.inputs + math.ceil(inside / self.layers)


def estimate(backbone: Backbone, method: MethodBase, shape: Shape) -> Estimate:
    """Counts a training step, of the phase that holds most. Raises BackboneError, NoSuchForm and UnsupportedBackbone as
    loading the model does, and NotCounted where the method does not apply, or decides by values what it trains."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    task = SimpleNamespace(name="estimate", kind="classification", members=("estimate",))
    with FakeTensorMode(allow_non_fake_inputs=True), _without_values():
        model, head = _model(backbone, shape)
        own = sum(p.numel() for each, p in model.named_parameters() if each not in head)
        anatomy = Anatomy(model, head)
        if reason := method.out_of_range(anatomy) or method.unsupported(anatomy, task):
            raise NotCounted(reason)
        with _values_are_asked_for():
            method.adapt(anatomy, task)
        if not isinstance(method, Method) or not method.phases():
            return _counted(anatomy, method, shape, own)
        found = []
        for phase in method.phases():
            with _values_are_asked_for():
                method.on_phase(anatomy, phase, 100)
            found.append(_counted(anatomy, method, shape, own))
        with _values_are_asked_for():
            stored = sum(TRAINED * value.numel() for value in method.state(model).values())
    worst = max(found, key=lambda each: each.memory_bytes)
    return replace(worst, trained=found[-1].trained, head=found[-1].head, stored_bytes=stored)


def _counted(anatomy: Anatomy, method: MethodBase, shape: Shape, own: int) -> Estimate:
    """What is trainable now, and a step of it."""
    named = dict(anatomy.model.named_parameters())
    trains = bool(method.phases())
    trainable = {each: p.numel() for each, p in named.items() if p.requires_grad and trains}
    trained = sum(trainable.values())
    of_head = sum(count for each, count in trainable.items() if each in anatomy.head)
    frozen = {each: p.numel() for each, p in named.items() if each not in trainable}
    held = BYTES[shape.weights] * sum(frozen.values())
    if shape.weights == "nf4":
        held -= (BYTES["bf16"] - NF4) * sum(frozen.get(each, 0) for each in _projections(anatomy))
    buffers = sum(buffer.untyped_storage().nbytes() for buffer in anatomy.model.buffers())
    saved, flops = _step(anatomy, method, shape)
    return Estimate(
        method=method.card.name,
        backbone=own,
        trained=trained - of_head,
        head=of_head,
        stored_bytes=0,
        weights_bytes=round(TRAINED * trained + held) + buffers,
        gradient_bytes=TRAINED * trained,
        # Two moments, and for each tensor the number of its steps.
        optimizer_bytes=2 * TRAINED * trained + 4 * len(trainable),
        activation_bytes=saved.bytes(shape.checkpointing),
        train_flops=flops,
    )


def _projections(anatomy: Anatomy) -> set[str]:
    """The names of the weights of the layers' projections."""
    sites = [site for layer in anatomy.layers for site in (*layer.own.values(), *layer.cross.values())]
    own = {id(site.projection.weight) for site in sites}
    return {name for name, parameter in anatomy.model.named_parameters() if id(parameter) in own}


@contextlib.contextmanager
def _values_are_asked_for() -> Iterator[None]:
    """Raises NotCounted for what a method does that needs values."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

    try:
        yield
    except (DataDependentOutputException, DynamicOutputShapeException):
        raise NotCounted("it chooses by values what it trains") from None
    except RuntimeError as error:
        raise NotCounted(f"it asks for values: {str(error).splitlines()[0][:80]}") from None


def largest_batch(backbone: Backbone, method: MethodBase, shape: Shape, memory: int) -> int:
    """How many texts of the shape's length a training step may take within so many bytes; 0 where none fits. Kept
    activations grow by the same number of bytes with each text."""
    one, two = (estimate(backbone, method, replace(shape, batch=n)) for n in (1, 2))
    each = two.activation_bytes - one.activation_bytes
    left = memory - one.memory_bytes
    return 0 if left < 0 else 1 + (left // each if each > 0 else 0)


def _model(backbone: Backbone, shape: Shape) -> tuple[Any, frozenset[str]]:
    import torch
    import transformers

    from bench.backbones.loading import architecture, fresh_parameters

    config = backbone.configuration(**({} if shape.text else {"num_labels": shape.outputs}))
    for name in ATTENTION_DROPOUT:
        if hasattr(config, name):
            setattr(config, name, 0.0)
    auto = architecture(Head("language" if shape.text else "sequence", shape.outputs), config)
    dtype = torch.float32 if shape.weights == "fp32" else torch.bfloat16
    try:
        model = getattr(transformers, auto).from_config(config, dtype=dtype)
    except Exception as error:  # whatever its numbers lead to
        raise BackboneError(f"the config.json of {backbone.spec} describes no model: {error}") from error
    if config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = 0
    head = frozenset() if shape.text else frozenset(fresh_parameters(model))
    return model.train(), head


def _step(anatomy: Anatomy, method: MethodBase, shape: Shape) -> tuple[_Saved, int]:
    """What a training step keeps, and its FLOPs."""
    import torch

    from bench.measuring import count_flops

    model = anatomy.model
    ids = torch.zeros(shape.batch, shape.length, dtype=torch.long)
    labels = ids if shape.text else ids[:, 0]
    # Whether a mask hides anything is a question of values, and nothing is hidden: causal attention knows without one.
    mask = None if anatomy.causal and not model.config.is_encoder_decoder else torch.ones_like(ids)
    if model.config.is_encoder_decoder and not shape.text:
        ids[:, -1] = model.config.eos_token_id
    saved = _Saved({t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())})

    def loss() -> Tensor:
        found: Tensor = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        return found

    low = torch.autocast("cpu", torch.bfloat16, enabled=shape.autocast)
    if not method.phases():
        return saved, 0
    with low, _watched(anatomy, saved), torch.autograd.graph.saved_tensors_hooks(saved.note, lambda tensor: tensor):
        loss()

    def step() -> None:
        with low:
            found = loss()
        found.backward()

    return saved, count_flops(step)


@contextlib.contextmanager
def _watched(anatomy: Anatomy, saved: _Saved) -> Iterator[None]:
    """What is kept while a layer runs is kept within it."""

    def enter(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        hidden = next((each for each in (*arguments, *named.values()) if hasattr(each, "untyped_storage")), None)
        saved.inputs += hidden.untyped_storage().nbytes() if hidden is not None else 0
        saved.layers += 1
        saved.depth += 1

    def leave(*_: Any) -> None:
        saved.depth -= 1

    handles = []
    for layer in anatomy.layers:
        handles.append(layer.module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(layer.module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _without_values() -> Iterator[None]:
    """Initial values do not matter, and drawing some asks for others; modules are where they belong."""
    from torch import nn

    def as_it_is(given: Any, *_: Any, **__: Any) -> Any:
        return given

    changed: list[tuple[Any, str, Callable[..., Any]]] = [
        (nn.init, "trunc_normal_", nn.init.trunc_normal_),
        (nn.Module, "to", nn.Module.to),
    ]
    for owner, name, _ in changed:
        setattr(owner, name, as_it_is)
    try:
        yield
    finally:
        for owner, name, before in changed:
            setattr(owner, name, before)

"""What a cell costs, measured in a process of its own, with the machine to itself, by a fixed protocol.

The batch is synthetic: random tokens of the budget's full length, without padding. Time is the median of
`TIMED_STEPS` after a warm-up; FLOPs and bytes are counted in one more step, so that they agree from machine
to machine. Latency is that of a smaller batch. A machine's speed drifts by more than methods differ, and a
model is merged only after it was timed unmerged: each pass therefore has one of the plain backbone beside it,
and a latency is the backbone's, times the median ratio of such neighbours.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.data import in_micro_batches
from bench.forms.base import Form
from bench.step import PhaseTrainer
from methods.base import Method, Phase
from records.cell import Budget
from records.record import Cost, Parameters, PhaseCost

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from methods.anatomy import Anatomy

# Seconds of neighbouring passes, of the plain and of the adapted model.
Pairs = list[tuple[float, float]]

WARM_UP_STEPS = 2
TIMED_STEPS = 5
STEPS = WARM_UP_STEPS + TIMED_STEPS
INFERENCE_BATCH = 8
# Even, so that either model goes first equally often.
INFERENCE_PAIRS = 12


def count_parameters(head_names: Collection[str], trainable: Mapping[str, int], backbone: int) -> Parameters:
    """From the number of entries of every trainable parameter: the head's, the method's, and the latter's share
    of the backbone's."""
    head = sum(count for name, count in trainable.items() if name in head_names)
    adapter = sum(trainable.values()) - head
    return Parameters(
        adapter=adapter, head=head, total=adapter + head, backbone=backbone, percent=100 * adapter / backbone
    )


class PeakMemory:
    """The most memory held since construction: of the accelerator where there is one, else of the process
    (its resident set), less what was held at the start."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.floor = torch.cuda.memory_allocated(device)
        else:
            self.floor = psutil.Process().memory_info().rss

    def bytes(self) -> int:
        """What was held at the worst moment so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) - self.floor
        unit = 1 if sys.platform == "darwin" else 1024
        return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - self.floor, 0)


def profile(
    accelerator: Accelerator,
    memory: PeakMemory,
    anatomy: Anatomy,
    method: Method,
    plain: PreTrainedModel,
    budget: Budget,
    form: Form,
) -> Cost:
    """Profiles an adapted, untrained model; afterwards it is merged where the method merges.

    `plain` is the backbone before any adaptation, for comparison of latencies; `memory` was set up before
    the adapted model was loaded.
    """
    device = accelerator.device
    ids = _random_ids(budget.batch_size, budget.max_length, anatomy.config, device)
    model = accelerator.prepare(anatomy.model)
    phases = [
        _train_cost(
            PhaseTrainer(accelerator, model, anatomy, method, phase, STEPS, form, budget, constant_rate=True),
            phase,
            ids,
            budget,
        )
        for phase in method.phases()
    ]
    weights = _bytes_of([*model.parameters(), *model.buffers()])

    # What a prompt shows is read with every question, and is the method's price: not part of the protocol.
    question = _question(form, budget.max_length, anatomy.config, device)
    asked = _question(form, budget.max_length * (1 + method.demonstrations()), anatomy.config, device)
    plain = accelerator.prepare(plain).eval()

    def read() -> Any:
        return form.read(model, asked)

    def beside_the_backbone() -> Pairs:
        model.eval()
        with _frozen(plain, model):
            return _in_turn(lambda: form.read(plain, question), read, device)

    with torch.no_grad():
        model.eval()
        if not phases:
            read()
        peak = memory.bytes()
        unmerged = beside_the_backbone()
        with _frozen(plain, model):
            inference_flops = _count_flops(read)
        # Counted before merging takes the adapter away; what is stored is what training would leave.
        stored = _bytes_of(method.state(anatomy.model).values())
        merged = beside_the_backbone() if method.merge(anatomy.model) else []
    return Cost(
        protocol=_protocol(budget),
        peak_memory_bytes=peak,
        weights_bytes=weights,
        stored_bytes=stored,
        inference_flops=inference_flops,
        **_latencies(unmerged, merged),
        **_of_all(phases, ids.numel()),
    )


def _protocol(budget: Budget) -> dict[str, Any]:
    apart = {name: value for name in ("micro_batch", "activation_checkpointing") if (value := getattr(budget, name))}
    return apart | {
        "train_batch": [budget.batch_size, budget.max_length],
        "inference_batch": [INFERENCE_BATCH, budget.max_length],
        "warm_up_steps": WARM_UP_STEPS,
        "timed_steps": TIMED_STEPS,
        "inference_pairs": INFERENCE_PAIRS,
    }


def _latencies(unmerged: Pairs, merged: Pairs) -> dict[str, float | None]:
    """Those of the adapted model are the plain one's, times the median ratio of neighbours."""
    plain_seconds = statistics.median(plainly for plainly, _ in unmerged + merged)
    return {
        "inference_seconds": plain_seconds * _median_ratio(unmerged),
        "merged_inference_seconds": plain_seconds * _median_ratio(merged) if merged else None,
        "backbone_inference_seconds": plain_seconds,
    }


def _of_all(phases: list[PhaseCost], tokens: int) -> dict[str, Any]:
    """Figures of the whole training, of steps of so many tokens: time and FLOPs by share, bytes of the worst phase."""
    seconds = sum(phase.share * phase.step_seconds for phase in phases) if phases else None
    return {
        "gradient_bytes": max((phase.gradient_bytes for phase in phases), default=0),
        "optimizer_bytes": max((phase.optimizer_bytes for phase in phases), default=0),
        "activation_bytes": max((phase.activation_bytes for phase in phases), default=0),
        "step_seconds": seconds,
        "train_tokens_per_second": tokens / seconds if seconds else None,
        "train_flops": round(sum(phase.share * phase.train_flops for phase in phases)),
        "phases": phases,
    }


def _train_cost(trainer: PhaseTrainer, phase: Phase, ids: Tensor, budget: Budget) -> PhaseCost:
    """What a step costs on a batch of such token ids (batch, length)."""
    at_once = min(budget.micro_batch or len(ids), len(ids))

    def batch() -> dict[str, Any]:
        return in_micro_batches(trainer.form.synthetic, ids, at_once)

    def step() -> None:
        trainer.step(batch())

    for _ in range(WARM_UP_STEPS):
        step()
    seconds = statistics.median(_timed(step, ids.device) for _ in range(TIMED_STEPS))
    flops = _count_flops(lambda: trainer.backward(batch()))
    gradients = _bytes_of([parameter.grad for parameter in trainer.trained if parameter.grad is not None])
    optimizer = trainer.optimizer
    optimizer.zero_grad()
    with _saved_tensors(trainer.model) as saved:
        loss = trainer.loss(trainer.form.synthetic(ids[:at_once]))
    del loss
    states = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    return PhaseCost(
        name=phase.name,
        share=phase.share,
        trainable_parameters=sum(parameter.numel() for parameter in trainer.trained),
        step_seconds=seconds,
        tokens_per_second=ids.numel() / seconds,
        train_flops=flops,
        gradient_bytes=gradients,
        optimizer_bytes=_bytes_of(states),
        activation_bytes=sum(saved.values()),
    )


@contextmanager
def _frozen(*models: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient, as in a model that is deployed. Autocast keeps its copy of one that does until
    the pass is over, so that full fine-tuning, and a backbone as it was loaded, would look slower than others."""
    asking = [parameter for model in models for parameter in model.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def _in_turn(plainly: Callable[[], Any], adapted: Callable[[], Any], device: torch.device) -> Pairs:
    """(plain, adapted): seconds of a pass of either, pair by pair; who goes first changes from pair to pair."""
    pairs = []
    for number in range(WARM_UP_STEPS + INFERENCE_PAIRS):
        if number % 2:
            with_method, without = _timed(adapted, device), _timed(plainly, device)
        else:
            without, with_method = _timed(plainly, device), _timed(adapted, device)
        pairs.append((without, with_method))
    return pairs[WARM_UP_STEPS:]


def _median_ratio(pairs: Pairs) -> float:
    return statistics.median(adapted / plainly for plainly, adapted in pairs)


def _timed(action: Any, device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    action()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _question(form: Form, length: int, config: PreTrainedConfig, device: torch.device) -> dict[str, Tensor]:
    """A batch for inference, of so many tokens: what a model reads of it."""
    made = form.synthetic(_random_ids(INFERENCE_BATCH, length, config, device))
    return {key: made[key] for key in ("input_ids", "attention_mask", "decoder_input_ids") if key in made}


def _random_ids(size: int, length: int, config: PreTrainedConfig, device: torch.device) -> Tensor:
    """Token ids (size, length); every text ends once, since the heads of encoder-decoders read its end."""
    ids = torch.randint(0, config.vocab_size, (size, length), generator=torch.Generator().manual_seed(0))
    if config.is_encoder_decoder:
        ids[ids == config.eos_token_id] = config.eos_token_id + 1
        ids[:, -1] = config.eos_token_id
    return ids.to(device)


def _count_flops(action: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        action()
    return int(counter.get_total_flops())


@contextmanager
def _saved_tensors(model: nn.Module) -> Iterator[dict[int, int]]:
    """Bytes, by storage, of what autograd keeps for the backward pass, parameters and buffers excluded."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved


def _bytes_of(tensors: Iterable[Tensor]) -> int:
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())

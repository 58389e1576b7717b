"""What a cell costs, measured in a process of its own, with the machine to itself, by a fixed protocol.

The batch is synthetic: random tokens of the budget's full length, without padding. FLOPs and bytes are counted, so that
they agree from machine to machine. A training step is timed in turn with a yardstick: a step of the plain backbone,
frozen, on the same batch, whose backward pass goes down to the embeddings and meets no weight, the least that any
method below the head can do. A pass of inference, of a smaller batch, is timed in turn with one of the plain backbone.
Beside that there are glances, which the protocol's figures do not depend on: at where a step's time goes
(`bench.split`), at its energy (`bench.energy`), and at inference of other shapes (`bench.serving`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from operator import mul
from typing import TYPE_CHECKING, Any

import torch

from bench import energy, serving
from bench.data import MICRO_BATCHES, in_micro_batches
from bench.forms.base import Form
from bench.measuring import (
    BRIEF_PAIRS,
    MOST_ROUNDS,
    PAIRS_A_ROUND,
    ROUNDS,
    WARM_UP,
    PeakMemory,
    Timing,
    beside,
    bytes_of,
    count_flops,
    frozen,
    saved_tensors,
)
from bench.serving import Served
from bench.split import split
from bench.step import PhaseTrainer
from methods.base import Method, Phase
from records.cell import Budget
from records.record import Cost, Parameters, PhaseCost, StepCost
from records.vocabulary import Rounds

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

    from methods.anatomy import Anatomy

# Of each phase where its memory is measured: the second has the optimiser's state.
STEPS_FOR_MEMORY = 2
# Told to a method as the length of a phase: those that warm up, and as many as may be timed.
STEPS = 2 * WARM_UP + MOST_ROUNDS * PAIRS_A_ROUND
INFERENCE_BATCH = 8


def count_parameters(head_names: Collection[str], trainable: Mapping[str, int], backbone: int) -> Parameters:
    """From the number of entries of every trainable parameter: the head's, the method's, and the latter's share
    of the backbone's."""
    head = sum(count for name, count in trainable.items() if name in head_names)
    adapter = sum(trainable.values()) - head
    return Parameters(
        adapter=adapter, head=head, total=adapter + head, backbone=backbone, percent=100 * adapter / backbone
    )


def peak_memory(
    accelerator: Accelerator, memory: PeakMemory, anatomy: Anatomy, method: Method, budget: Budget, form: Form
) -> int:
    """The most bytes that training an adapted model holds, or inference, where nothing is trained. `memory` was set up
    before the model was loaded, and nothing else may be loaded beside it. The model is not fit for anything after."""
    ids = _random_ids(budget.batch_size, budget.max_length, anatomy.config, accelerator.device)
    model = accelerator.prepare(anatomy.model)
    for phase in method.phases():
        trainer = PhaseTrainer(
            accelerator, model, anatomy, method, phase, STEPS_FOR_MEMORY, form, budget, constant_rate=True
        )
        for _ in range(STEPS_FOR_MEMORY):
            trainer.step(_batch(form, ids, budget))
    if not method.phases():
        length = budget.max_length * (1 + method.demonstrations())
        with torch.no_grad():
            form.read(model.eval(), _question(form, length, anatomy.config, accelerator.device))
    return memory.bytes()


def profile(
    accelerator: Accelerator,
    peak: int,
    anatomy: Anatomy,
    method: Method,
    plain: PreTrainedModel,
    budget: Budget,
    form: Form,
    brief: bool = False,
) -> Cost:
    """Profiles an adapted, untrained model; afterwards it is merged where the method merges.

    `plain` is the backbone before any adaptation, with the same head: it is what times are compared with. `peak` is
    what `peak_memory` has measured. A `brief` one times one round of everything.
    """
    device = accelerator.device
    ids = _random_ids(budget.batch_size, budget.max_length, anatomy.config, device)
    model = accelerator.prepare(anatomy.model)
    plain = accelerator.prepare(plain)
    timings: list[Timing] = []
    phases, peaks = [], []
    for phase in method.phases():
        trainer = PhaseTrainer(accelerator, model, anatomy, method, phase, STEPS, form, budget, constant_rate=True)
        yardstick = _yardstick(accelerator, plain, form, ids, budget)
        cost, timing, matmul = _train_cost(trainer, phase, ids, budget, yardstick, brief)
        phases.append(cost)
        timings.append(timing)
        peaks.append(matmul)
    weights = bytes_of([*model.parameters(), *model.buffers()])

    inference, unmerged, merged = _inference_cost(model, anatomy, plain, method, budget, form, device, brief)
    return Cost(
        protocol=_protocol(budget, brief),
        peak_memory_bytes=peak,
        weights_bytes=weights,
        matmul_flops_per_second=max(peaks, default=None),
        rounds=_rounds(phases, timings, unmerged, merged),
        drifted=any(timing.drifted for timing in (*timings, unmerged, *([merged] if merged else []))),
        **inference,
        **_of_all(phases, timings, ids.numel()),
    )


@torch.no_grad()
def _inference_cost(
    model: PreTrainedModel,
    anatomy: Anatomy,
    plain: PreTrainedModel,
    method: Method,
    budget: Budget,
    form: Form,
    device: torch.device,
    brief: bool,
) -> tuple[dict[str, Any], Timing, Timing | None]:
    """What inference costs, and what is stored; with the timings of a batch, unmerged and merged."""
    # What a prompt shows is read with every question, and is the method's price: not part of the protocol.
    lengths = budget.max_length, budget.max_length * (1 + method.demonstrations())
    question, asked = (partial(_question, form, length, anatomy.config, device) for length in lengths)
    plain.eval()

    def timed_beside() -> tuple[Timing, Served | None]:
        model.eval()
        theirs, ours = question(INFERENCE_BATCH), asked(INFERENCE_BATCH)
        with frozen(plain, model):
            of_batch = beside(lambda: form.read(plain, theirs), lambda: form.read(model, ours), device, brief)
            return of_batch, None if brief else serving.serve(form, plain, model, question, asked, device)

    unmerged, served = timed_beside()
    with frozen(plain, model):
        flops = [
            count_flops(lambda: form.read(plain, question(INFERENCE_BATCH))),
            count_flops(lambda: form.read(model, asked(INFERENCE_BATCH))),
        ]
    # Counted before merging takes the adapter away; what is stored is what training would leave.
    stored = bytes_of(method.state(anatomy.model).values())
    merged, served_merged = timed_beside() if method.merge(anatomy.model) else (None, None)
    figures = {
        "stored_bytes": stored,
        "backbone_inference_flops": flops[0],
        "inference_flops": flops[1],
        "inference_seconds": unmerged.seconds,
        "merged_inference_seconds": merged and unmerged.reference * merged.ratio,
        "backbone_inference_seconds": unmerged.reference,
        **(serving.costs_of(served, served_merged) if served else {}),
    }
    return figures, unmerged, merged


def _protocol(budget: Budget, brief: bool) -> dict[str, Any]:
    apart = {name: value for name in ("micro_batch", "activation_checkpointing") if (value := getattr(budget, name))}
    return apart | {
        "train_batch": [budget.batch_size, budget.max_length],
        "inference_batch": [INFERENCE_BATCH, budget.max_length],
        "yardstick": "activation-only backward",
        "pairs": BRIEF_PAIRS if brief else ROUNDS * PAIRS_A_ROUND,
    }


def _rounds(
    phases: list[PhaseCost], timings: list[Timing], unmerged: Timing, merged: Timing | None
) -> dict[Rounds, list[float]]:
    found: dict[Rounds, list[float]] = {"inference": list(unmerged.rounds)}
    if merged:
        found["merged"] = list(merged.rounds)
    if timings:
        # Of several phases as many as all have.
        weighed = ([phase.share * ratio for ratio in one.rounds] for phase, one in zip(phases, timings, strict=True))
        found["step"] = [sum(ratios) for ratios in zip(*weighed, strict=False)]
    return found


def _of_all(phases: list[PhaseCost], timings: list[Timing], tokens: int) -> dict[str, Any]:
    """Figures of the whole training, of steps of so many tokens: time and FLOPs by share, bytes of the worst phase."""
    # One yardstick for all phases, that of the first: the ratios are what was measured.
    yardstick = timings[0].reference if timings else None
    ratio = sum(phase.share * phase.step_ratio for phase in phases if phase.step_ratio is not None)
    seconds = yardstick * ratio if yardstick else None
    return {
        "gradient_bytes": max((phase.gradient_bytes for phase in phases), default=0),
        "optimizer_bytes": max((phase.optimizer_bytes for phase in phases), default=0),
        "activation_bytes": max((phase.activation_bytes for phase in phases), default=0),
        "step_seconds": seconds,
        "yardstick_seconds": yardstick,
        "train_tokens_per_second": tokens / seconds if seconds else None,
        "train_flops": round(sum(phase.share * phase.train_flops for phase in phases)),
        "phases": phases,
        **_of_steps(phases),
    }


def _of_steps(phases: list[PhaseCost]) -> dict[str, float | None]:
    """Of the whole training what a phase's step tells: joules by the phases' shares of the steps, percents by their
    shares of the time."""
    steps = [phase.share for phase in phases]
    seconds = [phase.share * phase.step_seconds for phase in phases]
    found = {}
    for name in StepCost.model_fields:
        values = [getattr(phase, name) for phase in phases]
        weights = steps if name == "step_joules" else seconds
        known = bool(values) and None not in values
        found[name] = sum(map(mul, weights, values)) / sum(weights) if known else None
    return found


def _batch(form: Form, ids: Tensor, budget: Budget) -> dict[str, Any]:
    """A synthetic batch of such token ids, in micro-batches where the budget asks for them."""
    return in_micro_batches(form.synthetic, ids, budget.micro_batch or len(ids))


def _yardstick(
    accelerator: Accelerator, plain: PreTrainedModel, form: Form, ids: Tensor, budget: Budget
) -> Callable[[], None]:
    """A training step of the plain backbone in which nothing is trained: gradients go down to the embeddings' output
    and meet no weight."""
    own = plain.get_input_embeddings()
    # An encoder and its decoder may each have a module for the one table.
    alike = [each for each in plain.modules() if isinstance(each, torch.nn.Embedding) and each.weight is own.weight]
    embeddings = {own, *alike}

    def ask_for_gradients(_: Any, __: Any, output: Tensor) -> Tensor:
        return output.requires_grad_()

    def step() -> None:
        plain.train()
        with frozen(plain):
            hooks = [each.register_forward_hook(ask_for_gradients) for each in embeddings]
            try:
                batch = _batch(form, ids, budget)
                for part in batch.get(MICRO_BATCHES, [batch]):
                    accelerator.backward(form.loss(plain, part))
            finally:
                for hook in hooks:
                    hook.remove()

    return step


def _train_cost(
    trainer: PhaseTrainer, phase: Phase, ids: Tensor, budget: Budget, yardstick: Callable[[], None], brief: bool
) -> tuple[PhaseCost, Timing, float]:
    """What a step costs on a batch of such token ids (batch, length), timed in turn with the yardstick; and the FLOP/s
    that matrix products reach."""
    batch = partial(_batch, trainer.form, ids, budget)

    def step() -> None:
        trainer.step(batch())

    for _ in range(WARM_UP):
        step()
    # Counted before it is timed, by as many steps as it takes until the time is sure: counts are the same everywhere.
    flops = count_flops(lambda: trainer.backward(batch()))
    gradients = bytes_of([parameter.grad for parameter in trainer.trained if parameter.grad is not None])
    optimizer = trainer.optimizer
    optimizer.zero_grad()
    with saved_tensors(trainer.model) as saved:
        loss = trainer.loss(trainer.form.synthetic(ids[: budget.micro_batch or len(ids)]))
    del loss
    timing = beside(yardstick, step, ids.device, brief)
    parts = split(trainer, batch, flops, brief)
    states = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    cost = PhaseCost(
        name=phase.name,
        share=phase.share,
        trainable_parameters=sum(parameter.numel() for parameter in trainer.trained),
        step_seconds=timing.seconds,
        step_ratio=timing.ratio,
        step_quartiles=(timing.quartiles[0], timing.quartiles[2]),
        tokens_per_second=ids.numel() / timing.seconds,
        train_flops=flops,
        gradient_bytes=gradients,
        optimizer_bytes=bytes_of(states),
        activation_bytes=sum(saved.values()),
        peak_percent=parts.peak_percent,
        step_joules=energy.joules(step, ids.device, energy.counters(ids.device)),
        **{f"{part}_percent": percent for part, percent in parts.percent.items()},
    )
    return cost, timing, parts.peak


def _question(
    form: Form, length: int, config: PreTrainedConfig, device: torch.device, texts: int = INFERENCE_BATCH
) -> dict[str, Tensor]:
    """A batch for inference, of texts of so many tokens: what a model reads of it."""
    made = form.synthetic(_random_ids(texts, length, config, device))
    return {key: made[key] for key in ("input_ids", "attention_mask", "decoder_input_ids") if key in made}


def _random_ids(size: int, length: int, config: PreTrainedConfig, device: torch.device) -> Tensor:
    """Token ids (size, length); every text ends once, since the heads of encoder-decoders read its end."""
    ids = torch.randint(0, config.vocab_size, (size, length), generator=torch.Generator().manual_seed(0))
    if config.is_encoder_decoder:
        ids[ids == config.eos_token_id] = config.eos_token_id + 1
        ids[:, -1] = config.eos_token_id
    return ids.to(device)

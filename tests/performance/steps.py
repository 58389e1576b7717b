"""A training step of every native method, in turn with peft's step of the same method and with the yardstick: a step of
the frozen backbone that trains nothing, whose backward pass meets no weight. Backbones have random weights.

Ours is the step that profiles time (`bench.step.PhaseTrainer`): a cell's training takes the same, and in it spares what
the head does not read, and the conversion of frozen weights (docs/protocol.md). peft's is a plain loop with the same
optimiser, clipping, schedule and precision: with PyTorch's own kernels, as a script has it, and once more with ours
(`bench.kernels`), as the yardstick has them, too, which tells what the methods' own code is worth. Rounds go on, up to
three times as many, until the ratios to peft's are told within a hundredth. What a method has to compute is counted, as
matrix products beside those of the yardstick.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup

from bench import kernels, ranks
from bench.backbones import Backbone
from bench.forms.sequence import Classification
from bench.measuring import OF_RANGE, count_flops, timed
from bench.profiling import _batch, _random_ids, _yardstick
from bench.registry import Registry
from bench.step import PhaseTrainer
from bench.worker import precision_of
from methods.anatomy import Anatomy
from methods.base import Method, Phase
from records.cell import Budget
from tests.performance.figures import DOCS, Action, Ratio, Round, Table, in_turn
from tests.performance.peft_methods import PEFT, adapted

THREADS = 2
BUDGET, BRIEF = Budget(batch_size=32, max_length=64), Budget(batch_size=2, max_length=16)
# Told to a phase and to peft: as if a training of so many were measured in its midst.
STEPS = 20
WARM_UP = 1
SHAPES = {
    "MiniLM": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "BERT-base": {},
}
PRECISIONS = {"no": "fp32", "bf16": "bf16"}
# On the larger backbone, whose step takes five times as long: of methods with the same arithmetic one.
LARGE = ("lora", "ia3", "prefix_tuning")
# By shape, and by whether peft has the method: so many, in which each of four or of two is first equally often, and
# again as many until the ratios to peft's are sure.
ROUNDS = {("MiniLM", True): 8, ("MiniLM", False): 2, ("BERT-base", True): 4}
MOST_TIMES = 3
# peft's step among the rounds.
SCRIPTED, WITH_KERNELS = "peft", "peft, our kernels"
# Of the ratio to peft's, its standard error.
SURE = 0.01
FIGURE = DOCS / "performance-steps.svg"
# Beyond these a row is marked: of peft's step, and of the yardstick's over its own arithmetic.
SLOWER_THAN_PEFT, OVER_ARITHMETIC = 1.03, 0.10

TASK: Any = SimpleNamespace(
    name="task", kind="classification", members=("task",), card=SimpleNamespace(labels=("no", "yes"))
)


def precisions() -> list[str]:
    """Those in which the machine computes."""
    return [precision for precision in PRECISIONS if precision in ("no", precision_of("auto"))]


@dataclass
class Bed:
    """What the steps of one backbone and precision share: the batch, the plain backbone and its yardstick."""

    config: BertConfig
    budget: Budget
    accelerator: Accelerator
    form: Classification
    ids: Tensor
    yardstick: Action = lambda: None
    flops: int = 0

    @classmethod
    def of(cls, shape: str, precision: str, budget: Budget = BUDGET) -> Bed:
        """For a shape by its name."""
        bed = cls.alone(shape, precision, budget)
        plain = bed.accelerator.prepare(model_of(bed.config))
        bed.yardstick = _yardstick(bed.accelerator, plain, bed.form, bed.ids, budget)
        bed.flops = count_flops(bed.yardstick)
        return bed

    @classmethod
    def alone(cls, shape: str, precision: str, budget: Budget = BUDGET) -> Bed:
        """Without a yardstick, and so without any model."""
        AcceleratorState._reset_state(reset_partial_state=True)  # it has one precision for a process
        accelerator = ranks.accelerator(precision)
        config = BertConfig(**SHAPES[shape])
        form = Classification(TASK, Backbone.find("embedded:minilm-l6").tokenizer(), budget.max_length)
        ids = _random_ids(budget.batch_size, budget.max_length, config, accelerator.device)
        return cls(config, budget, accelerator, form, ids)

    def batch(self) -> dict[str, Any]:
        """Made anew for every step."""
        return _batch(self.form, self.ids, self.budget)

    def clock(self, action: Action) -> float:
        """Its seconds."""
        return timed(action, self.accelerator.device)


def model_of(config: BertConfig) -> BertForSequenceClassification:
    """With random weights, the same each time."""
    torch.manual_seed(0)
    return BertForSequenceClassification(config)


class Ours:
    """A native method on a backbone, phase by phase."""

    def __init__(self, bed: Bed, name: str) -> None:
        self.bed = bed
        self.method: Method = Registry().get("methods", name).cls()
        model = model_of(bed.config).to(bed.accelerator.device)
        self.anatomy = Anatomy(model, frozenset({"classifier.weight", "classifier.bias"}))
        if reason := self.method.unsupported(self.anatomy, TASK):
            raise ValueError(f"{name}: {reason}")
        self.method.adapt(self.anatomy, TASK)
        self.model = bed.accelerator.prepare(model)

    def trainer(self, phase: Phase) -> PhaseTrainer:
        """Begins a phase."""
        bed = self.bed
        return PhaseTrainer(bed.accelerator, self.model, self.anatomy, self.method, phase, STEPS, bed.form, bed.budget)


def peft_step(bed: Bed, model: Any) -> Action:
    """A step as a script with peft makes it."""
    device = bed.accelerator.device
    model.to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, STEPS // 10, STEPS)
    allocate = getattr(model.base_model, "update_and_allocate", None)
    bf16 = bed.accelerator.mixed_precision == "bf16"
    done = 0

    def step() -> None:
        nonlocal done
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = model(**bed.batch()).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, bed.budget.max_grad_norm)
        optimizer.step()
        schedule.step()
        done += 1
        if allocate is not None:
            allocate(done)
        optimizer.zero_grad()

    return step


@dataclass
class Step:
    """What a phase's step took: rounds of `ours`, of `yardstick` and, where peft has it, of its own by either kernels;
    its matrix products over the yardstick's; and what it spends after its backward pass, over the yardstick's
    seconds."""

    what: str
    rounds: list[Round]
    arithmetic: float
    update: float

    @property
    def ratio(self) -> Ratio:
        """To the yardstick."""
        return Ratio.of(self.rounds, "ours", "yardstick")

    @property
    def to_peft(self) -> Ratio | None:
        """To peft's, where that has the method."""
        return Ratio.of(self.rounds, "ours", SCRIPTED) if SCRIPTED in self.rounds[0] else None

    @property
    def to_peft_with_kernels(self) -> Ratio | None:
        """To peft's with our kernels, where that has the method."""
        return Ratio.of(self.rounds, "ours", WITH_KERNELS) if WITH_KERNELS in self.rounds[0] else None

    @property
    def rest(self) -> float:
        """What neither matrix products nor the update tell, in units of the yardstick."""
        return self.ratio.median - self.arithmetic - self.update

    @property
    def slower_than_peft(self) -> bool:
        """By more than 3 %."""
        return self.to_peft is not None and self.to_peft.median > SLOWER_THAN_PEFT

    @property
    def over_arithmetic(self) -> bool:
        """By more than a tenth of the yardstick."""
        return self.ratio.median > self.arithmetic + OVER_ARITHMETIC

    def cells(self) -> tuple[str, ...]:
        """Of the table."""
        marks = ["slower than peft's"] * self.slower_than_peft + ["over its arithmetic"] * self.over_arithmetic
        numbers = (f"{number:.2f}" for number in (self.arithmetic, self.update, self.rest))
        theirs = (str(ratio or "") for ratio in (self.to_peft, self.to_peft_with_kernels))
        return (self.what, str(self.ratio), *numbers, *theirs, ", ".join(marks))


def steps_of(bed: Bed, name: str, rounds: int) -> Iterator[Step]:
    """Every phase's of a method."""
    ours = Ours(bed, name)
    phases = ours.method.phases()
    for phase in phases:
        trainer = ours.trainer(phase)
        actions = {"ours": lambda trainer=trainer: trainer.step(bed.batch()), "yardstick": bed.yardstick}
        for theirs in (SCRIPTED, WITH_KERNELS) if name in PEFT else ():
            actions[theirs] = peft_step(bed, adapted(model_of(bed.config), name, STEPS))
        arithmetic = count_flops(lambda trainer=trainer: trainer.backward(bed.batch())) / bed.flops
        trainer.optimizer.zero_grad()
        backward, spent = trainer.backward, []

        def stopped(batch: dict[str, Any], backward: Any = backward, spent: list[float] = spent) -> Tensor:
            found: list[Tensor] = []
            spent.append(bed.clock(lambda: found.append(backward(batch))))
            return found[0]

        def clock(action: Action, actions: dict[str, Action] = actions) -> float:
            with kernels.aside() if action is actions.get(SCRIPTED) else nullcontext():
                return bed.clock(action)

        in_turn(actions, WARM_UP, clock)
        trainer.backward = stopped  # type: ignore[method-assign]
        found = in_turn(actions, rounds, clock)
        while name in PEFT and rounds > 1 and len(found) < MOST_TIMES * rounds and not _is_sure(found):
            found += in_turn(actions, rounds, clock)
        update = statistics.median(
            (each["ours"] - within) / each["yardstick"] for each, within in zip(found, spent, strict=True)
        )
        what = name if len(phases) == 1 else f"{name}, {phase.name}"
        yield Step(what, found, arithmetic, update)


def _is_sure(found: list[Round]) -> bool:
    ratios = (Ratio.of(found, "ours", theirs) for theirs in (SCRIPTED, WITH_KERNELS))
    return all(OF_RANGE * (each.high - each.low) / each.median / len(found) ** 0.5 <= SURE for each in ratios)


def measure(brief: bool = False) -> list[Table]:
    """A table for each backbone and precision."""
    torch.set_num_threads(THREADS)
    kernels.use()  # as in a worker
    natives = [name for name in Registry().names("methods") if Registry().get("methods", name).cls().phases()]
    tables, panels = [], {}
    for shape in ["MiniLM"] if brief else SHAPES:
        for precision in precisions():
            bed = Bed.of(shape, precision, BRIEF if brief else BUDGET)
            seconds = statistics.median(bed.clock(bed.yardstick) for _ in range(3))
            size = f"batches of {bed.budget.batch_size} × {bed.budget.max_length} tokens"
            table = _table(
                f"**{shape}'s shape, {PRECISIONS[precision]}**, {size}; the yardstick takes {seconds:.2f} s."
            )
            print(table.about, flush=True)
            steps: list[Step] = []
            for name in PEFT if brief else natives if shape == "MiniLM" else LARGE:
                for step in steps_of(bed, name, 1 if brief else ROUNDS[shape, name in PEFT]):
                    steps.append(step)
                    table.add(*step.cells())
            for note in summary(steps):
                table.note(note)
            tables.append(table)
            panels[f"{shape}, {PRECISIONS[precision]}"] = steps
    if not brief:
        from tests.performance import drawing

        drawing.draw(panels, FIGURE)
        tables[-1].note(f"![Steps over the yardstick's, beside their matrix products]({FIGURE.name})")
    return tables


def _table(about: str) -> Table:
    own = ("step of", "over the yardstick's", "its matrix products", "update", "rest")
    return Table(about, (*own, "over peft's", "over peft's with our kernels", ""))


def summary(steps: list[Step]) -> Iterator[str]:
    """What the promises are, and what came of them."""
    pairs = [step for step in steps if step.to_peft is not None]
    faster = sum(step.to_peft.median < 1 for step in pairs if step.to_peft)
    slower = [step.what for step in pairs if step.slower_than_peft]
    alike = [(step.what, step.to_peft_with_kernels.median) for step in pairs if step.to_peft_with_kernels]
    yield (
        f"Of {len(pairs)} steps that peft has too, {faster} are faster than peft's (promised: two thirds), and"
        f" {_listed(slower)} slower by more than 3 % (promised: none). With our kernels beneath peft's, too,"
        f" {sum(ratio < 1 for _, ratio in alike)} are faster, and"
        f" {_listed([what for what, ratio in alike if ratio > SLOWER_THAN_PEFT])} slower by more than 3 %."
    )
    over = [step.what for step in steps if step.over_arithmetic]
    yield f"Over the yardstick's and its own matrix products by more than a tenth of the yardstick: {_listed(over)}."


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"

"""The most memory that training takes: of ours, of peft's and of full fine-tuning, each in a process of its own, as
`bench.measuring.PeakMemory` has it: on a processor the resident set, less what it was before the model was made.
Backbones have random weights.
"""

from __future__ import annotations

import sys

import torch

from bench.measuring import PeakMemory
from tests.performance import steps
from tests.performance.figures import Table
from tests.performance.peft_methods import PEFT, adapted
from tests.performance.stamped import run_process
from tests.performance.steps import Bed

# The second step has the optimiser's state.
STEPS = 2
SIDES = ("ours", "peft")


def peak(shape: str, name: str, side: str) -> int:
    """Bytes, in this process."""
    torch.set_num_threads(steps.THREADS)
    bed = Bed.alone(shape, "no")
    memory = PeakMemory(bed.accelerator.device)
    if side == "peft":
        step = steps.peft_step(bed, adapted(steps.model_of(bed.config), name, steps.STEPS))
    else:
        ours = steps.Ours(bed, name)
        trainer = ours.trainer(ours.method.phases()[0])

        def step() -> None:
            trainer.step(bed.batch())

    for _ in range(STEPS):
        step()
    return memory.bytes()


def in_a_process(shape: str, name: str, side: str) -> int:
    """The same, in one of its own."""
    said = run_process([sys.executable, "-m", "tests.performance.memory", shape, name, side], {})
    return int(said.splitlines()[-1])


def measure(brief: bool = False) -> list[Table]:
    """A table for each backbone."""
    tables = []
    for shape in ["MiniLM"] if brief else steps.SHAPES:
        full = in_a_process(shape, "full", "ours")
        size = f"batches of {steps.BUDGET.batch_size} × {steps.BUDGET.max_length} tokens, fp32"
        table = Table(
            f"**{shape}'s shape**, {size}; full fine-tuning takes {full / 1e6:,.0f} MB.",
            ("training by", "ours", "peft's", "ours over peft's", "ours over full fine-tuning"),
        )
        print(table.about, flush=True)
        for name in ["lora"] if brief else PEFT:
            ours, theirs = (in_a_process(shape, name, side) for side in SIDES)
            table.add(
                name, f"{ours / 1e6:,.0f} MB", f"{theirs / 1e6:,.0f} MB", f"{ours / theirs:.2f}", f"{ours / full:.2f}"
            )
        tables.append(table)
    return tables


if __name__ == "__main__":
    print(peak(*sys.argv[1:]))

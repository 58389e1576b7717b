"""The support matrix of docs/support.md: every native method on every architecture, tried out.

`make support` writes it. A pair works if adapting, a step of training, storing and loading on a fresh model give
the same predictions; merging, bf16, gradient checkpointing and compilation are held in tests/methods/test_contract.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from methods.anatomy import Anatomy
from tests.methods.tiny import ARCHITECTURES, METHODS, TASK, adapt, batch, head_of, logits, tiny

PAGE = Path(__file__).parents[2] / "docs" / "support.md"
HEADER = """# Which method works on which architecture

Written by `make support`, which tries every pair on a tiny model with random weights: adapt, one step of training in
each phase, store, load onto a fresh model, the same predictions. Contract tests hold the same pairs to more (only what
the method names is trained, gradients, merging, padding, bf16, gradient checkpointing, copies). A number stands for
the reason, below, why a method does not apply. Here all have a task head; `zero_shot` and `few_shot`, which train
nothing and take no head, have no row: they apply wherever a backbone writes text (`form: text`).

"""


def outcome(name: str, architecture: str) -> str:
    """`works`, or the reason why not."""
    method, model = METHODS[name], tiny(architecture)
    if reason := method.unsupported(Anatomy(model, head_of(model)), TASK):
        return reason
    adapt(method, model, train=True)
    expected = logits(model, batch(architecture))
    fresh = tiny(architecture)
    torch.manual_seed(1)
    adapt(method, fresh)
    method.load_state(fresh, {key: value.clone() for key, value in method.state(model).items()})
    if not torch.allclose(logits(fresh, batch(architecture)), expected, rtol=0, atol=1e-4):
        return "a stored state does not give the same predictions"
    return "works"


def matrix() -> str:
    native = [name for name in METHODS if "@" not in name]
    found = {(name, architecture): outcome(name, architecture) for name in native for architecture in ARCHITECTURES}
    reasons = list(dict.fromkeys(reason for reason in found.values() if reason != "works"))
    lines = [f"| method | {' | '.join(ARCHITECTURES)} |", "| --- |" + " :-: |" * len(ARCHITECTURES)]
    for name in native:
        cells = (found[name, architecture] for architecture in ARCHITECTURES)
        marks = ("✓" if cell == "works" else str(reasons.index(cell) + 1) for cell in cells)
        lines.append(f"| {name} | {' | '.join(marks)} |")
    works = sum(reason == "works" for reason in found.values())
    said = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    share = f"{works} of {len(found)} pairs work ({100 * works / len(found):.0f} %)."
    return HEADER + "\n".join([*lines, "", share, "", *said]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(matrix(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")

"""What lies between the backbone and what a method made of it: scores at θ + αΔ, by evaluation alone.

Of a method that merges, what training has changed is a difference Δ of the backbone's weights. Along it, forgetting can
be bought back, and the last checkpoint may have overshot (Wortsman et al. 2022, Robust fine-tuning of zero-shot
models).
Scores are of the validation split: the test split is read once, by the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bench.again import again
from bench.data import eval_loader
from bench.evaluation import evaluate
from bench.failures import EXPECTED
from bench.keeping import BrokenState, state_from_bytes
from bench.origin import Origin
from bench.scoring import Diverged
from bench.worker import CellRun
from records.record import Record, Rewound
from records.store import RecordStore, ResultsError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# Shares of Δ: none, all, and a quarter beyond.
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)


@dataclass(frozen=True)
class Rewinding:
    """What came of a cell: its points, or why there are none."""

    record: Record
    points: tuple[Rewound, ...] = ()
    reason: str = ""


def rewind(store: RecordStore, anew: bool = False) -> Iterator[Rewinding]:
    """Evaluates every cell that has kept its state, and whose method merges, along its difference, and writes the
    points into its record; cells that have some only if `anew`. The caller holds the folder's lock. Raises
    ResultsError where the folder holds no results."""
    origin = Origin(store)
    for record in store.records():
        if "state.safetensors" not in record.kept or (record.rewound and not anew):
            continue
        try:
            points = along(origin, record)
        except (ResultsError, BrokenState, NotMergeable, *EXPECTED) as error:
            yield Rewinding(record, reason=str(error))
            continue
        store.write(record.model_copy(update={"rewound": list(points)}))
        yield Rewinding(record, points)


class NotMergeable(Exception):
    """The method cannot be folded into the backbone's weights."""


def along(origin: Origin, record: Record) -> tuple[Rewound, ...]:
    """A cell's points, one for each of ALPHAS. A fresh head stays as it was trained. Raises NotMergeable, ResultsError
    where no state was kept, BrokenState, and what loading a cell raises."""
    data = origin.store.kept(record, "state.safetensors")
    if data is None:
        raise ResultsError("has no state to load")
    with again(origin, record) as cell_run:
        anatomy = cell_run.restored(state_from_bytes(data), record.data.steps if record.data else 0)
        if not cell_run.method.merge(anatomy.model):
            raise NotMergeable("its method does not merge")
        merged = {name: p.detach() for name, p in anatomy.model.named_parameters()}
        model, head = cell_run.load()
        plain = {name: p.detach().clone() for name, p in model.named_parameters()}
        if plain.keys() != merged.keys():
            raise NotMergeable("what it merges into is not the plain backbone")
        if all(torch.equal(plain[name], merged[name]) for name in plain if name not in head):
            raise NotMergeable("it has changed no weight of the backbone")
        judge = _judge(cell_run, model, forgets=bool(record.forgetting))
        points = []
        for alpha in ALPHAS:
            _set(model, plain, merged, {name: 1.0 if name in head else alpha for name in plain})
            points.append(judge(alpha))
        return tuple(points)


def _judge(cell_run: CellRun, model: PreTrainedModel, forgets: bool) -> Callable[[float], Rewound]:
    data = cell_run.prepared()
    loader = eval_loader(data.validation, data.form, cell_run.budget.batch_size * 2)
    model, loader = cell_run.accelerator.prepare(model, loader)

    def judge(alpha: float) -> Rewound:
        try:
            _, scores = evaluate(model, loader, data.form, when=f" at {alpha:g} of the difference")
            lost = cell_run.general_loss(model, f" at {alpha:g} of the difference") if forgets else None
        except Diverged:
            # Beyond what was trained a model may say nothing at all.
            return Rewound(alpha=alpha, validation={})
        return Rewound(alpha=alpha, validation=scores, general_loss=lost)

    return judge


@torch.no_grad()
def _set(model: PreTrainedModel, plain: dict[str, Tensor], merged: dict[str, Tensor], shares: dict[str, float]) -> None:
    for name, parameter in model.named_parameters():
        # At the ends exactly the one or the other, whatever rounding would make of the sum.
        if shares[name] == 1.0:
            parameter.copy_(merged[name])
        else:
            parameter.copy_(plain[name] + shares[name] * (merged[name].to(plain[name]) - plain[name]))

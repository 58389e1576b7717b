"""A training that is cut off and gone on with ends as one that never was: to the last bit."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from bench.backbones import Backbone
from bench.checkpoints import Checkpoints
from bench.data import TaskData, prepare
from bench.evaluation import FittingSplit, ask
from bench.forms.base import Head
from bench.forms.sequence import Classification
from bench.training import phase_ends, train
from methods.anatomy import Anatomy
from methods.base import Method
from records.cell import Budget
from records.store import RecordStore
from tests.bench.test_records import cell
from tests.conftest import PLUGINS
from tests.methods.tiny import METHODS

BUDGET = Budget(
    train_examples=36, validation_examples=12, test_examples=12, epochs=2, batch_size=8, max_length=32, warmup=0.2,
)  # fmt: skip
STEPS = 10
# Those that keep something of their own, and some that do not; the others are tried by `make test-exhaustive`.
QUICK = ("lora", "adalora", "spiel", "fish_mask", "lt_sft", "diff_pruning", "spot")


class Cut(Exception):
    """The power is gone."""


class At(Checkpoints):
    """Saved after those steps."""

    steps: tuple[int, ...] = ()
    asked = 0

    @property
    def due(self) -> bool:
        self.asked += 1
        return self.asked in self.steps


@dataclasses.dataclass
class Lab:
    """Trains a method on the tiny backbone, always from the same seed and with dropout."""

    data: TaskData
    backbone: Backbone
    store: RecordStore

    def train(self, method: Method, cut: int = STEPS + 1, saves=(), resume=False, **options):
        """Everything that can be told of a training, or Cut at a step. `saves` are the steps after which it is saved,
        counted from where it begins."""
        model, head = self.backbone.load(Head("sequence", 2), seed=0)
        accelerator, anatomy = Accelerator(cpu=True), Anatomy(model, head)
        assert method.unsupported(anatomy, self.data.form.task) is None
        set_seed(3)
        method.adapt(anatomy, self.data.form.task)
        set_seed(3)
        checkpoints = At(self.store, cell(), accelerator, None)
        checkpoints.steps = saves

        def progress(step: int, _: int) -> None:
            if step >= cut:
                raise Cut

        saved = checkpoints.read() if resume else None
        sources = {phase.task: self.data for phase in method.phases() if phase.task}
        budget = options.pop("budget", BUDGET)
        result = train(
            accelerator, anatomy, method, self.data, budget, 0, progress, sources,
            checkpoints=checkpoints, saved=saved, **options,
        )  # fmt: skip
        test = FittingSplit(accelerator, self.data.test, self.data.form, 8)
        answers = test.each(lambda loader: ask(anatomy.model, loader, self.data.form))
        return result, method.state(anatomy.model), answers


@pytest.fixture
def lab(tiny_backbone, tmp_path, tests_cache, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tests_cache))
    monkeypatch.syspath_prepend(str(PLUGINS))
    import colours

    backbone = Backbone.find(str(tiny_backbone))
    form = Classification(colours.Colours(), backbone.tokenizer(), BUDGET.max_length)
    return Lab(prepare(form, BUDGET, 0), backbone, RecordStore(tmp_path))


def assert_the_same(found, expected) -> None:
    (result, state, answers), (whole, whole_state, whole_answers) = found, expected
    assert dataclasses.replace(result, resumed_from=None) == whole
    assert state.keys() == whole_state.keys()
    assert all(torch.equal(value, whole_state[name]) for name, value in state.items())
    assert answers == whole_answers


def cuts(name: str) -> list:
    """In the middle of every phase; and, not among the quick tests, at the end of every phase but the last."""
    ends = [0, *phase_ends(METHODS[name].phases(), STEPS)]
    inside = {(begun + end + 1) // 2 for begun, end in pairwise(ends)}
    more = [pytest.mark.exhaustive]
    return [
        pytest.param(name, cut, marks=[] if name in QUICK and cut in inside else more)
        for cut in sorted({*inside, *ends[1:-1]})
    ]


@pytest.mark.parametrize(("name", "cut"), [pair for name in METHODS for pair in cuts(name)])
def test_a_training_that_was_cut_off_ends_as_the_whole(lab, name, cut):
    method = METHODS[name]
    whole = lab.train(method)
    with pytest.raises(Cut):
        lab.train(method, cut=cut + 1, saves=(cut,))
    found = lab.train(method, resume=True)
    assert found[0].resumed_from == cut
    assert_the_same(found, whole)

"""A training that is cut off and gone on with ends as one that never was: to the last bit."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from bench.backbones import Backbone
from bench.checkpoints import Checkpoints, UnusableCheckpoint
from bench.data import TaskData, prepare
from bench.evaluation import FittingSplit, ask
from bench.forms.base import Head
from bench.forms.sequence import Classification
from bench.training import phase_ends, train
from methods.anatomy import Anatomy
from methods.base import Method, Phase
from methods.baselines.full import Full
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
        """Everything that can be told of a training, all that was trained as it stood after the last step among it; or
        Cut at a step. `saves` are the steps after which it is saved, counted from where it begins."""
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
            end.clear()
            end.update({name: p.detach().clone() for name, p in anatomy.model.named_parameters() if p.requires_grad})

        end: dict[str, torch.Tensor] = {}
        saved = checkpoints.read() if resume else None
        sources = {phase.task: self.data for phase in method.phases() if phase.task}
        budget = options.pop("budget", BUDGET)
        result = train(
            accelerator, anatomy, method, self.data, budget, 0, progress, sources,
            checkpoints=checkpoints, saved=saved, **options,
        )  # fmt: skip
        test = FittingSplit(accelerator, self.data.test, self.data.form, 8)
        answers = test.each(lambda loader: ask(anatomy.model, loader, self.data.form))
        # The best checkpoint is rarely the last.
        return result, method.state(anatomy.model) | {f"end of {name}": value for name, value in end.items()}, answers


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


def test_what_is_written_by_other_code_is_not_gone_on_with(lab):
    """Nor is a file that is none; each is said in words, and the training is begun anew by whoever asked."""
    with pytest.raises(Cut):
        lab.train(METHODS["lora"], cut=4, saves=(3,))
    checkpoints = Checkpoints(lab.store, cell(), Accelerator(cpu=True), None)
    assert checkpoints.read()["step"] == 3 and checkpoints.earlier_seconds > 0
    path = lab.store.checkpoint(cell().id)
    for name in ("torch", "transformers", "precision", "cell"):
        other = Checkpoints(lab.store, cell(), Accelerator(cpu=True), None)
        other.writer |= {name: "another"}
        with pytest.raises(UnusableCheckpoint, match=f"written with {name} .*, and here is another"):
            other.read()
    whole = path.read_bytes()
    for broken in (b"", b"no archive", whole[:1000], whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(UnusableCheckpoint, match="cannot be read"):
            checkpoints.read()
    path.unlink()
    assert checkpoints.read() is None


def test_a_checkpoint_runs_no_code(lab, tmp_path):
    import pickle

    class Wicked:
        def __reduce__(self):
            return (open, (str(tmp_path / "was run"), "w"))

    path = lab.store.checkpoint(cell().id)
    path.parent.mkdir(parents=True)
    for content in (pickle.dumps(Wicked(), protocol=2), None):
        if content is None:
            torch.save({"writer": Wicked()}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(UnusableCheckpoint, match="cannot be read"):
            Checkpoints(lab.store, cell(), Accelerator(cpu=True), None).read()
    assert not (tmp_path / "was run").exists()


def test_what_does_not_fit_the_method_is_told_from_what_does(lab):
    with pytest.raises(Cut):
        lab.train(METHODS["lora"], cut=4, saves=(3,))
    for other in ("pfeiffer", "adalora"):
        with pytest.raises(UnusableCheckpoint, match="does not fit"):
            lab.train(METHODS[other], resume=True)
    with pytest.raises(UnusableCheckpoint, match="is of step 3, and this training ends at 2"):
        lab.train(METHODS["lora"], resume=True, stop=0.2)


def test_a_method_that_does_not_tell_what_it_keeps_is_not_saved(lab):
    """Its training is begun anew, which is dear, and right."""

    class Counts(Full):
        card = dataclasses.replace(Full.card, name="counts")

        def after_step(self, anatomy, step, optimizer):
            vars(anatomy).setdefault("steps", []).append(step)

    with pytest.raises(Cut):
        lab.train(Counts(), cut=4, saves=(1, 2, 3))
    assert not lab.store.checkpoint(cell().id).exists()


def test_what_an_earlier_phase_trained_is_saved_in_a_later_one(lab):
    """Full fine-tuning, then the head alone: by then the backbone is frozen, and not what it was."""

    class TwoPhases(Full):
        card = dataclasses.replace(Full.card, name="two_phases")

        def phases(self):
            return (Phase("all", 0.5), Phase("head", 0.5))

        def on_phase(self, anatomy, phase, steps):
            if phase.name == "head":
                anatomy.freeze()

        def progress(self, anatomy):
            return {}

    whole = lab.train(TwoPhases(lr=1e-3))
    with pytest.raises(Cut):
        lab.train(TwoPhases(lr=1e-3), cut=8, saves=(7,))
    assert_the_same(lab.train(TwoPhases(lr=1e-3), resume=True), whole)


@pytest.mark.parametrize("name", ["lora", "lt_sft"])
def test_a_trial_that_is_stopped_is_gone_on_with_as_if_it_never_had_been(lab, name):
    """From rung to rung, and to the whole, which has no line of the trials' own validations in its history."""
    method = METHODS[name]
    whole = lab.train(method)
    first = lab.train(method, stop=0.25)
    assert (first[0].steps, first[0].resumed_from) == (3, None)
    reader = Checkpoints(lab.store, cell(), Accelerator(cpu=True), None)
    assert reader.read()["step"] == 3 and reader.earlier_seconds == 0  # its time is told by the trial's own record
    second = lab.train(method, stop=0.6, resume=True)
    assert (second[0].steps, second[0].resumed_from) == (6, 3)
    alone = lab.train(method, stop=0.6)
    assert_the_same(second, alone)
    last = lab.train(method, resume=True)
    assert last[0].resumed_from == 6
    assert_the_same(last, whole)


def test_what_a_trial_chose_in_an_early_phase_is_not_the_wholes_choice(lab):
    """It stopped after the first epoch of a selection, which had been validated, and was the best until then."""
    method = METHODS["lt_sft"].model_copy(update={"select_share": 0.8})
    whole = lab.train(method)
    trial = lab.train(method, stop=0.7)
    assert trial[0].best_step in (5, 7) and trial[0].history[-1].phase == "select"
    saved = Checkpoints(lab.store, cell(), Accelerator(cpu=True), None).read()
    assert saved["best"]["step"] == 5
    assert_the_same(lab.train(method, resume=True), whole)
    assert whole[0].best_step == 10


def test_saving_changes_nothing_and_a_disk_that_refuses_costs_the_checkpoint_alone(lab, monkeypatch, capsys):
    method = METHODS["spiel"]
    whole = lab.train(method)
    assert_the_same(lab.train(method, saves=range(1, 11)), whole)

    def full(*_):
        raise OSError(28, "No space left on device")

    path = lab.store.checkpoint(cell().id)
    path.unlink()
    monkeypatch.setattr("os.fsync", full)
    assert_the_same(lab.train(method, saves=range(1, 11)), whole)
    assert list(path.parent.iterdir()) == []
    assert "no checkpoint could be written: [Errno 28] No space left" in capsys.readouterr().err

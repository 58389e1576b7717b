"""The training loop, against a loop written out by hand."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import nullcontext

import pytest
import torch
from accelerate import Accelerator
from torch.nn import functional as F

from bench import kernels, step
from bench.backbones import Backbone
from bench.data import TaskData, eval_loader, prepare, train_loader
from bench.evaluation import evaluate
from bench.forms.base import Form, Head
from bench.forms.sequence import Classification
from bench.scoring import Diverged
from bench.training import phase_ends, train
from methods.anatomy import Anatomy
from methods.base import Method, Phase
from methods.baselines.full import Full
from records.cell import Budget
from tasks.base import Metric
from tests.conftest import PLUGINS

BUDGET = Budget(
    train_examples=40, validation_examples=20, test_examples=20, epochs=3, batch_size=8, max_length=32, warmup=0.2,
)  # fmt: skip


@pytest.fixture
def colours(monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGINS))
    import colours

    return colours.Colours()


@dataclasses.dataclass
class Setup:
    accelerator: Accelerator
    anatomy: Anatomy
    data: TaskData

    @property
    def form(self) -> Form:
        return self.data.form

    def train(self, method: Method, budget: Budget = BUDGET):
        method.adapt(self.anatomy, self.form.task)
        torch.manual_seed(0)
        return train(
            self.accelerator,
            self.anatomy,
            method,
            self.data,
            budget,
            0,
            lambda *_: None,
        )


@pytest.fixture
def setup(tiny_backbone, colours, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def make() -> Setup:
        backbone = Backbone.find(str(tiny_backbone))
        form = Classification(colours, backbone.tokenizer(), BUDGET.max_length)
        model, head = backbone.load(Head("sequence", 2), seed=0)
        for module in model.modules():  # dropout would tie the comparison to the order of random draws
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        accelerator = Accelerator(cpu=True)
        return Setup(accelerator, Anatomy(model, head), prepare(form, BUDGET, 0))

    return make


def test_full_fine_tuning_gives_the_weights_of_a_loop_written_by_hand(setup):
    made, reference = setup(), setup()
    result = made.train(Full(lr=1e-3, weight_decay=0.1))

    model = reference.anatomy.model.train()
    loader, sampler = train_loader(reference.data.train, reference.form, 8, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    checkpoints, step = {}, 0
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for batch in loader:
            for group in optimizer.param_groups:  # 15 steps, of which the first 3 warm up
                group["lr"] = 1e-3 * (step / 3 if step < 3 else (15 - step) / 12)
            loss = F.cross_entropy(model(**{k: v for k, v in batch.items() if k != "labels"}).logits, batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
        checkpoints[step] = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert result.steps == 15
    for name, parameter in made.anatomy.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), checkpoints[result.best_step][name], rtol=1e-5, atol=1e-6)


def test_the_checkpoint_restored_is_the_best_on_validation(setup):
    made = setup()
    # A learning rate this high makes some epochs worse than the one before.
    result = made.train(Full(lr=0.02), BUDGET.model_copy(update={"epochs": 6}))
    standings = {e.step: (e.validation["accuracy"], -e.validation_loss) for e in result.history}
    assert result.best_step == max(standings, key=standings.__getitem__)
    loss, scores = evaluate(made.anatomy.model, eval_loader(made.data.validation, made.form, 16), made.form)
    assert scores == result.validation
    assert loss == pytest.approx(-standings[result.best_step][1], abs=1e-5)


class TwoPhases(Full):
    """Notes at which step each phase begins; the first changes everything, the second only the head."""

    card = dataclasses.replace(Full.card, name="two_phases")

    def phases(self):
        return (Phase("first", 0.5), Phase("second", 0.5))

    def on_phase(self, anatomy, phase, steps):
        if phase.name == "second":
            anatomy.freeze()


def test_phases_share_one_budget_and_the_checkpoint_is_of_the_last(setup):
    made = setup()
    result = made.train(TwoPhases(lr=1e-3))
    assert result.steps == 15
    assert [e.step for e in result.history if e.phase == "first"] == [5, 8]
    assert [e.step for e in result.history if e.phase == "second"] == [10, 15]
    assert result.best_step in (10, 15)


@pytest.mark.parametrize(
    ("shares", "steps", "ends"),
    [((1.0,), 10, [10]), ((0.5, 0.5), 9, [4, 9]), ((0.01, 0.99), 10, [1, 10]), ((0.99, 0.01), 10, [9, 10])],
)
def test_phases_end_where_their_share_is_spent_and_none_is_empty(shares, steps, ends):
    assert phase_ends(tuple(Phase(str(i), share) for i, share in enumerate(shares)), steps) == ends


def test_shares_that_do_not_add_up_and_too_few_steps_are_refused():
    with pytest.raises(ValueError, match=r"add up to 0\.9"):
        phase_ends((Phase("a", 0.4), Phase("b", 0.5)), 10)
    with pytest.raises(ValueError, match="too few"):
        phase_ends((Phase("a", 0.5), Phase("b", 0.5)), 1)


def test_divergence_is_noticed(setup, monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.delitem(sys.modules, "faulty", raising=False)  # a run in this process may have left it there
    import faulty

    with pytest.raises(Diverged, match=r"not finite at step \d+ of 15"):
        setup().train(faulty.Diverges())


class Untrained(Full):
    """Ruins the model, and has no phase in which a training loss would show it."""

    card = dataclasses.replace(Full.card, name="untrained")

    def phases(self):
        return ()

    def adapt(self, anatomy, task):
        with torch.no_grad():
            for parameter in anatomy.model.parameters():
                parameter.fill_(float("nan"))


def test_a_model_of_no_numbers_has_no_score_though_its_answers_have_an_index(setup):
    made = setup()
    with pytest.raises(Diverged, match=r"^the validation loss is not finite$"):
        made.train(Untrained())
    batch = next(iter(eval_loader(made.data.test, made.form, 8)))
    assert set(made.form.predict(made.anatomy.model.eval(), batch).predictions) <= {0, 1}  # by argmax, they look well
    with pytest.raises(Diverged, match=r"^the test loss is not finite$"):
        evaluate(made.anatomy.model, eval_loader(made.data.test, made.form, 8), made.form, "test")


def test_a_model_ruined_by_the_last_step_is_noticed(setup):
    class RuinedAtTheEnd(Full):
        card = dataclasses.replace(Full.card, name="ruined")

        def after_step(self, anatomy, step, optimizer):
            if step == 15:
                with torch.no_grad():
                    next(anatomy.model.parameters()).fill_(float("inf"))

    with pytest.raises(Diverged, match=r"the validation loss is not finite at step 15 of 15"):
        setup().train(RuinedAtTheEnd(lr=1e-3))


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        (Metric("error_rate", higher_is_better=False), [0.3, 0.1, 0.2], 10),
        (Metric("accuracy"), [0.3, 0.1, 0.2], 5),
        (Metric("accuracy"), [float("nan"), 0.1, float("nan")], 10),
        (Metric("accuracy"), [0.2, float("inf"), 0.3], 15),  # undefined is never the best
    ],
)
def test_the_best_is_as_the_card_has_it_and_never_what_is_undefined(setup, monkeypatch, metric, values, best):
    made, scores = setup(), iter(values)
    card = dataclasses.replace(made.form.task.card, metrics=(metric,))
    monkeypatch.setattr(made.form.task, "card", card)
    monkeypatch.setattr(made.form.task, "score", lambda *_: {metric.name: next(scores)})
    result = made.train(Full(lr=1e-3))
    assert result.best_step == best
    assert [list(line.validation) for line in result.history] == [[metric.name]] * 3


def test_where_every_score_is_undefined_the_loss_decides(setup, monkeypatch):
    made = setup()
    monkeypatch.setattr(made.form.task, "score", lambda *_: {"accuracy": float("nan"), "f1_macro": float("nan")})
    result = made.train(Full(lr=1e-3))
    losses = {line.step: line.validation_loss for line in result.history}
    assert result.best_step == min(losses, key=losses.__getitem__)


def test_every_step_and_every_batch_validated_on_is_a_sign_of_life(setup):
    made, steps, batches = setup(), [], []

    def alive(items):
        for item in items:
            batches.append(item)
            yield item

    Full(lr=1e-3).adapt(made.anatomy, made.form.task)
    method = Full(lr=1e-3)
    train(made.accelerator, made.anatomy, method, made.data, BUDGET, 0, lambda *at: steps.append(at), alive=alive)
    assert steps == [(step, 15) for step in range(1, 16)]
    assert len(batches) == 3 * 2  # epochs, of 20 validation examples in batches of 16


class Writing(Full):
    """May write to whatever it likes after a step."""

    def after_step(self, anatomy, step, optimizer):
        pass


@pytest.mark.parametrize(("method", "kept"), [(Full(lr=1e-3), True), (Writing(lr=1e-3), False)])
def test_converted_weights_are_kept_from_step_to_step_unless_a_method_may_write_to_them(
    setup, monkeypatch, method, kept
):
    scopes = []

    def scope(trained=False):
        scopes.append(trained)
        return nullcontext()

    monkeypatch.setattr(kernels, "weights_kept", scope)
    setup().train(method)
    assert scopes == [False] * kept + [True] * 3  # the steps, and three validations


@pytest.mark.parametrize(("stop", "steps"), [(0.25, 4), (1 / 3, 5), (0.4, 6), (1.0, 15), (0.001, 1)])
def test_a_training_that_stops_early_is_the_beginning_of_the_whole(setup, stop, steps):
    """On the learning rates of the whole, so that up to there nothing is another: steps are rounded up."""
    whole, made = setup(), setup()
    expected = {line.step: line for line in whole.train(Full(lr=1e-3)).history}
    method = Full(lr=1e-3)
    method.adapt(made.anatomy, made.form.task)
    torch.manual_seed(0)
    result = train(made.accelerator, made.anatomy, method, made.data, BUDGET, 0, lambda *_: None, stop=stop)
    assert result.steps == steps
    assert [line.step for line in result.history] == sorted({*(s for s in (5, 10, 15) if s <= steps), steps})
    for line in result.history:
        if line.step in expected:
            assert line == expected[line.step]
    assert (
        result.validation
        == max(result.history, key=lambda e: (e.validation["accuracy"], -e.validation_loss)).validation
    )


def test_a_training_that_stops_in_an_early_phase_has_the_best_of_that_phase(setup):
    made = setup()
    method = TwoPhases(lr=1e-3)
    method.adapt(made.anatomy, made.form.task)
    result = train(made.accelerator, made.anatomy, method, made.data, BUDGET, 0, lambda *_: None, stop=0.4)
    assert [(line.step, line.phase) for line in result.history] == [(5, "first"), (6, "first")]
    assert result.best_step in (5, 6)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 7), (1, 1), (2, 7), (7, 7), (10, 100)])
def test_the_learning_rate_goes_as_transformers_linear_schedule(warmup: int, steps: int):
    from transformers import get_linear_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    [share] = theirs.lr_lambdas
    assert [step._linear(warmup, steps, at) for at in range(steps + 3)] == [share(at) for at in range(steps + 3)]

"""What is checked of a method on a tiny model of each kind of architecture."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.checks.base import Fault, Generators, NotAsked
from bench.checks.models import PAD, batch, logits, perturb, tiny, trainable
from bench.checks.trials import Trial

# Attention does not depend on a shift of all keys, and a decoder's first position attends to itself only.
WITHOUT_GRADIENT = re.compile(r"(key|k_lin|k_proj|key_proj|Wqkv|c_attn)\.(parametrizations\.)?bias")


def applies(trials: Callable[[], list[Trial]]) -> None:
    """It applies to one architecture at least, and its hyperparameters fit a tiny model."""
    reasons = []
    for trial in trials():
        try:
            anatomy = trial.plain()
        except NotAsked as reason:
            reasons.append(str(reason))
            continue
        if said := trial.method.out_of_range(anatomy):
            raise Fault(
                f"on a tiny model {said}",
                "give a value that fits, as bench check … --set rank=4, or in the class: Field(64, examples=[4])",
            )
    if len(reasons) == len(trials()):
        raise Fault(f"it applies nowhere here: {reasons[0]}", "try --architecture NAME, or mend `unsupported`")


def starts_unchanged(trial: Trial) -> None:
    """Adapting changes no prediction, unless the method says that it does."""
    if not trial.method.identical_at_start:
        raise NotAsked("the method does not promise it: identical_at_start is False")
    before, after = trial.logits(trial.plain()), trial.logits(trial.adapted())
    if not (gap := _gap(before, after)) <= 1e-5:
        raise Fault(
            f"adapting changes predictions by {gap:.2g} before anything is trained",
            "let what is added start at zero, or say `identical_at_start: ClassVar[bool] = False` in the class",
        )


def freezes(trial: Trial) -> None:
    """What it names is trained with the task head, and the rest of the backbone is frozen."""
    anatomy = trial.adapted()
    named = trainable(anatomy.model)
    if frozen := sorted(anatomy.head - named.keys()):
        raise Fault(f"the task head is frozen ({frozen[0]})", "train it: anatomy.freeze() leaves it trainable")
    whole = dict(anatomy.backbone_parameters())
    if trial.method.card.family != "baseline" and whole.keys() <= named.keys():
        count = sum(p.numel() for p in whole.values())
        raise Fault(
            f"the backbone is not frozen: all of its {count:,} parameters are trained",
            "begin `adapt` with anatomy.freeze(), and unfreeze or insert what is to be trained after it",
        )
    if named.keys() == anatomy.head and trial.method.card.family != "baseline":
        raise Fault(
            "nothing but the task head is trained",
            "insert what is to be trained; where a default is too large for a tiny model: Field(5, examples=[1])",
        )


def reaches(trial: Trial) -> None:
    """Gradients reach all that is trained, and nothing else."""
    anatomy = trial.adapted()
    named = trainable(anatomy.model)
    perturb(named.items())  # at the start many gradients are zero by design
    trial.loss(anatomy.model).backward()
    for name, parameter in anatomy.model.named_parameters():
        if name not in named and parameter.grad is not None:
            raise Fault(f"{name} is frozen and gets a gradient", "set requires_grad before the first forward pass")
        if name in named and not WITHOUT_GRADIENT.search(name) and not _any(parameter.grad):
            raise Fault(
                f"{name} is trained, and no gradient reaches it",
                "use it in the forward pass (without detach() or no_grad()), or freeze it",
            )


def leaves_frozen(trial: Trial) -> None:
    """Training changes nothing that is frozen."""
    before = {name: p.detach().clone() for name, p in trial.plain().model.named_parameters()}
    anatomy = trial.trained()
    for name, parameter in anatomy.model.named_parameters():
        if name in before and not parameter.requires_grad and not torch.equal(parameter, before[name]):
            raise Fault(f"{name} is frozen, and training changes it", "change parameters through the optimiser alone")


def learns(trial: Trial) -> None:
    """Training lowers the loss on three examples."""
    anatomy = trial.fresh()
    losses = [loss for phase in trial.method.phases() for loss in trial.losses(anatomy, phase, 20)]
    if at := next((step for step, loss in enumerate(losses, 1) if not math.isfinite(loss)), None):
        raise Fault(f"the loss is not finite at step {at}", "look for a division by zero, or a scale that explodes")
    if not losses[-1] < losses[0] - 0.05:
        raise Fault(
            f"20 steps bring the loss from {losses[0]:.3f} to {losses[-1]:.3f} only",
            "see that what is trained takes part in the predictions, and that `parameter_groups` has all of it",
        )


def acts(trial: Trial) -> None:
    """What is trained beside the head changes predictions."""
    anatomy = trial.adapted()
    beside = {name: p for name, p in trainable(anatomy.model).items() if name not in anatomy.head}
    if not beside:
        raise NotAsked("it trains the task head alone")
    before = trial.logits(anatomy)
    perturb(beside.items())
    if not _gap(trial.logits(anatomy), before) > 1e-3:
        raise Fault("what it trains has no effect on predictions", "put it into the forward pass of the model")


def is_finite(trial: Trial) -> None:
    """Predictions are finite, before and after training."""
    for when, anatomy in (("before", trial.adapted()), ("after", trial.trained())):
        if not trial.logits(anatomy).isfinite().all():
            raise Fault(
                f"predictions are not finite {when} training", "look for a division by zero, or a logarithm of it"
            )


def works_in_bf16(trial: Trial) -> None:
    """Under bf16 autocast, predictions and gradients are finite, and near those of fp32."""
    anatomy = trial.trained()
    exact = trial.logits(anatomy)
    with torch.autocast("cpu", torch.bfloat16):
        low = anatomy.model(**batch(trial.architecture)).logits
        low.float().sum().backward()
    for name, parameter in trainable(anatomy.model).items():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise Fault(f"the gradient of {name} is not finite in bf16", "keep delicate sums in float32")
    low = low.detach().float()
    if not torch.allclose(low, exact, rtol=0.1, atol=0.1):
        raise Fault(
            f"predictions in bf16 are {_gap(low, exact):.2g} away from those in fp32",
            "bring your tensors to the dtype of what they meet: `scale.to(x.dtype)`",
        )


def repeats(trial: Trial) -> None:
    """The same seed gives the same parameters, to the last bit."""
    first, second = (trainable(trial.trained().model) for _ in range(2))
    for name, parameter in first.items():
        if name not in second or not torch.equal(parameter, second[name]):
            raise Fault(
                f"{name} differs between two trainings of one seed",
                "draw from torch's global generator, which the engine seeds, and iterate over lists, not sets",
            )


def restores(trial: Trial) -> None:
    """A state, loaded into a fresh model, gives the same predictions."""
    method = trial.method
    anatomy = trial.trained()
    perturb(trainable(anatomy.model).items())
    expected = trial.logits(anatomy)
    state = {key: value.clone() for key, value in method.state(anatomy.model).items()}
    fresh = trial.adapted(seed=1)
    method.load_state(fresh.model, state)
    if not (gap := _gap(trial.logits(fresh), expected)) <= 1e-5:
        raise Fault(
            f"a state that is loaded into a fresh model gives predictions that are {gap:.2g} away",
            "let `state` hold all that is not the pretrained backbone's, drawn buffers included",
        )
    again = method.state(fresh.model)
    if {key: value.shape for key, value in again.items()} != {key: value.shape for key, value in state.items()}:
        raise Fault("the state of the model that a state was loaded into is another", "let `state` undo `load_state`")


def merges(trial: Trial) -> None:
    """Merging, where the method merges, gives the same predictions on the plain architecture."""
    plain = trial.plain().model
    anatomy = trial.trained()
    perturb(trainable(anatomy.model).items())
    expected = trial.logits(anatomy)
    before = {key: value.clone() for key, value in anatomy.model.state_dict().items()}
    if not trial.method.merge(anatomy.model):
        after = anatomy.model.state_dict()
        if after.keys() != before.keys() or any(not torch.equal(after[key], before[key]) for key in before):
            raise Fault("`merge` returns False and changes the model", "change nothing where it cannot be merged")
        raise NotAsked("it does not merge")
    if not (gap := _gap(trial.logits(anatomy), expected)) <= 1e-4:
        raise Fault(f"merging changes predictions by {gap:.2g}", "let `merge` fold in what the forward pass computes")
    merged = anatomy.model.state_dict()
    if strange := sorted(merged.keys() ^ plain.state_dict().keys()):
        raise Fault(f"a merged model differs from a plain one in {strange[0]}", "put the plain modules back in `merge`")
    stored = tiny(trial.architecture, seed=1)
    stored.load_state_dict(merged)
    if not (gap := _gap(logits(stored, batch(trial.architecture)), expected)) <= 1e-4:
        raise Fault(f"merged weights in a plain model are {gap:.2g} away", "leave no hook or patched forward behind")


def ignores_padding(trial: Trial) -> None:
    """Padding on the right changes no prediction."""
    anatomy = trial.trained()
    perturb(trainable(anatomy.model).items())
    inputs = batch(trial.architecture)
    fill = {"input_ids": PAD, "attention_mask": 0, "token_type_ids": 0}
    padded = {key: F.pad(value, (0, 4), value=fill[key]) for key, value in inputs.items()}
    if not (gap := _gap(logits(anatomy.model, padded), trial.logits(anatomy))) <= 1e-4:
        raise Fault(f"four positions of padding change predictions by {gap:.2g}", "heed the attention mask")


def leaves_the_process(trial: Trial) -> None:
    """The process is left as it was: seeds, defaults of torch, folder, environment."""
    before = _globals()
    states = []
    try:
        for seed in (0, 1):
            trial.trained(1, seed)
            states.append(Generators.states())
        for name, value in _globals().items():
            if value != before[name]:
                raise Fault(f"{name} is {value} afterwards, and was {before[name]}", "leave it, or put it back")
    finally:
        for name, value in before.items():
            RESTORE[name](value)
    for name in states[0]:
        if states[0][name] == states[1][name]:
            raise Fault(
                f"it seeds a generator itself ({name})", "draw from torch's global generator, which the engine seeds"
            )


def _put_environment(value: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(value)


RESTORE: dict[str, Callable[[Any], object]] = {
    "torch's default dtype": torch.set_default_dtype,
    "torch's number of threads": torch.set_num_threads,
    "torch's gradient mode": torch.set_grad_enabled,
    "torch's choice of deterministic algorithms": torch.use_deterministic_algorithms,
    "the current folder": os.chdir,
    "the environment": _put_environment,
}


def _globals() -> dict[str, object]:
    now = (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        Path.cwd(),
        dict(os.environ),
    )
    return dict(zip(RESTORE, now, strict=True))


def _gap(one: Tensor, two: Tensor) -> float:
    """The largest difference; not a number where there is one that is none."""
    return (one - two).abs().max().item()


def _any(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


# Whoever changes the process comes first, so that it is put right for the others.
CHECKS: dict[str, Callable[[Trial], None]] = {
    "process": leaves_the_process,
    "start": starts_unchanged,
    "trained": freezes,
    "gradients": reaches,
    "frozen": leaves_frozen,
    "effect": acts,
    "loss": learns,
    "finite": is_finite,
    "bf16": works_in_bf16,
    "seed": repeats,
    "state": restores,
    "merge": merges,
    "padding": ignores_padding,
}

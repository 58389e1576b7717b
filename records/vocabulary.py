"""The words that every room uses, each said here once: families, compositions, kinds of tasks, and quantities."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Composition = Literal["none", "parameter", "input", "function"]

Kind = Literal[
    "classification",
    "regression",
    "tagging",
    "multiple choice",
    "extractive QA",
    "generation",
    "language modelling",
    "mixture",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Relation = Literal["at least", "at most", "higher", "lower", "equal"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)

# In the order of the seminar's subtopics; what a third party calls otherwise comes last. With their headings.
FAMILIES: dict[str, str] = {
    "baseline": "Baselines",
    "sparse": "Sparse fine-tuning",
    "low-rank": "Low-rank adaptation",
    "adapter": "Adapters",
    "soft-prompt": "Soft prompts",
    "hypernetwork": "Hypernetworks",
}

# How a module meets the backbone (Pfeiffer et al. 2023), as the end of a sentence about a method.
COMPOSITIONS: dict[str, str] = {
    "parameter": "composes with the backbone's parameters",
    "input": "composes with its input",
    "function": "composes with its function",
}

# The metrics whose key does not read as a name.
METRICS: dict[str, str] = {
    "f1": "F1",
    "f1a": "F1a",
    "f1_macro": "macro F1",
    "matthews": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "rouge_l": "ROUGE-L",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
}

# What a profile times beside something else, in rounds.
Rounds = Literal["step", "inference", "merged"]

UnitKind = Literal["points", "percent", "count", "bytes", "seconds", "flops", "rate", "ratio", "nats", "joules"]


@dataclass(frozen=True)
class Quantity:
    """A figure of a cell, or of several, under the name that records and frames have for it.

    `title` heads a table or an axis, `column` a column whose group says the rest, `words` stand in a sentence after
    "the". `unit` says in which kind of unit it is written. `kind` decides how two are compared: scores by difference,
    all else by ratio; what is counted is the same on every run, what is timed is not, and a spread is that of scores
    over seeds. `profiled` ones depend on the protocol of the cost profile, and are averaged within one only.
    `beside` is the same figure of the backbone alone, by which what is timed is divided: it was timed beside it, and
    machines drift. `rounds` names those ratios of a profile that it goes with. Papers' claims may be about those that
    are `claimable`; the page plots and lists those that are `listed`, where a run has them.
    """

    name: str
    title: str
    words: str
    unit: UnitKind
    kind: Literal["score", "spread", "timed", "counted"]
    column: str = ""
    higher_is_better: bool = False
    profiled: bool = True
    claimable: bool = False
    listed: bool = True
    beside: str | None = None
    rounds: Rounds | None = None


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity("score", "Score (test)", "test score", "points", "score", higher_is_better=True, profiled=False,
                 claimable=True),
        Quantity("validation_score", "Score (validation)", "validation score", "points", "score",
                 higher_is_better=True, profiled=False),
        Quantity("score_spread", "Spread over seeds", "standard deviation of test scores over seeds", "points",
                 "spread", profiled=False, claimable=True, listed=False),
        Quantity("adapter_parameters", "Adapter parameters", "number of trained parameters (without the head)",
                 "count", "counted", "method", profiled=False, claimable=True, beside="backbone_parameters"),
        Quantity("percent", "Adapter parameters, share of the backbone", "share of parameters that are trained",
                 "percent", "counted", "% of backbone", profiled=False),
        Quantity("head_parameters", "Parameters of the head", "number of the head's parameters", "count", "counted",
                 "head", profiled=False, listed=False),
        Quantity("total_parameters", "Trained parameters, head included", "number of trained parameters", "count",
                 "counted", profiled=False),
        Quantity("backbone_parameters", "Parameters of the backbone", "number of the backbone's parameters", "count",
                 "counted", profiled=False, listed=False),
        Quantity("peak_memory_bytes", "Peak memory", "peak memory in training", "bytes", "timed", "peak",
                 claimable=True),
        Quantity("activation_bytes", "Saved activations", "memory of saved activations", "bytes", "counted",
                 "activations"),
        Quantity("optimizer_bytes", "Optimiser state", "memory of the optimiser's state", "bytes", "counted",
                 "optimiser"),
        Quantity("gradient_bytes", "Gradients", "memory of the gradients", "bytes", "counted", "gradients"),
        Quantity("weights_bytes", "Weights", "memory of the weights", "bytes", "counted", "weights", claimable=True),
        Quantity("training_memory_bytes", "Counted memory of training", "counted memory of a training step", "bytes",
                 "counted", "sum", claimable=True, listed=False),
        Quantity("stored_bytes", "Stored per task", "storage per task", "bytes", "counted", "Stored", claimable=True),
        Quantity("step_seconds", "Time of a training step", "time of a training step", "seconds", "timed", "step",
                 claimable=True, rounds="step"),
        Quantity("step_ratio", "Time of a training step over the yardstick's", "time of a training step over the"
                 " yardstick's", "ratio", "timed", "step", rounds="step"),
        Quantity("yardstick_seconds", "Time of the yardstick's step", "time of the yardstick's step", "seconds",
                 "timed", "yardstick", listed=False),
        Quantity("train_tokens_per_second", "Training tokens per second", "training throughput", "rate", "timed",
                 "tokens/s", higher_is_better=True, claimable=True, rounds="step"),
        Quantity("train_flops", "FLOPs of a training step", "FLOPs of a training step", "flops", "counted",
                 claimable=True),
        Quantity("forward_percent", "Forward pass, share of a training step",
                 "share of a training step that the forward pass takes", "percent", "timed", "% forward", listed=False),
        Quantity("backward_percent", "Backward pass, share of a training step",
                 "share of a training step that the backward pass takes", "percent", "timed", "% backward",
                 listed=False),
        Quantity("optimizer_percent", "Optimiser, share of a training step",
                 "share of a training step that the optimiser takes", "percent", "timed", "% optimiser", listed=False),
        Quantity("peak_percent", "Share of the machine's peak in a training step",
                 "share of the machine's peak that a training step reaches", "percent", "timed", "% of peak",
                 higher_is_better=True),
        Quantity("matmul_flops_per_second", "FLOP/s of a matrix product", "rate of a matrix product", "rate", "timed",
                 "peak", higher_is_better=True, listed=False),
        Quantity("step_joules", "Energy of a training step", "energy of a training step", "joules", "timed", "energy"),
        Quantity("inference_seconds", "Latency of a batch", "inference time", "seconds", "timed", claimable=True,
                 beside="backbone_inference_seconds", rounds="inference"),
        Quantity("merged_inference_seconds", "Latency of a batch, merged", "inference time once merged", "seconds",
                 "timed", claimable=True, beside="backbone_inference_seconds", rounds="merged"),
        Quantity("backbone_inference_seconds", "Latency of a batch, plain backbone",
                 "inference time of the plain backbone", "seconds", "timed", "backbone", listed=False),
        Quantity("latency", "Latency over the backbone's", "latency over the backbone's", "ratio", "timed",
                 "unmerged", rounds="inference"),
        Quantity("merged_latency", "Latency over the backbone's, merged", "latency over the backbone's, once merged",
                 "ratio", "timed", "merged", rounds="merged"),
        Quantity("one_latency", "Latency of one text over the backbone's", "latency of one text over the backbone's",
                 "ratio", "timed", "unmerged"),
        Quantity("merged_one_latency", "Latency of one text over the backbone's, merged",
                 "latency of one text over the backbone's, once merged", "ratio", "timed", "merged", listed=False),
        Quantity("backbone_one_seconds", "Latency of one text, plain backbone",
                 "latency of one text by the plain backbone", "seconds", "timed", "backbone", listed=False),
        Quantity("many_latency", "Latency of many texts over the backbone's",
                 "latency of many texts over the backbone's", "ratio", "timed", "unmerged"),
        Quantity("merged_many_latency", "Latency of many texts over the backbone's, merged",
                 "latency of many texts over the backbone's, once merged", "ratio", "timed", "merged", listed=False),
        Quantity("backbone_many_seconds", "Latency of many texts, plain backbone",
                 "latency of many texts by the plain backbone", "seconds", "timed", "backbone", listed=False),
        Quantity("first_token_latency", "Time to the first token over the backbone's",
                 "time to the first token over the backbone's", "ratio", "timed", "unmerged"),
        Quantity("merged_first_token_latency", "Time to the first token over the backbone's, merged",
                 "time to the first token over the backbone's, once merged", "ratio", "timed", "merged", listed=False),
        Quantity("backbone_first_token_seconds", "Time to the first token, plain backbone",
                 "time to the first token of the plain backbone", "seconds", "timed", "backbone", listed=False),
        Quantity("tokens_per_second", "New tokens per second", "rate of new tokens", "rate", "timed", "unmerged",
                 higher_is_better=True),
        Quantity("merged_tokens_per_second", "New tokens per second, merged", "rate of new tokens, once merged", "rate",
                 "timed", "merged", higher_is_better=True, listed=False),
        Quantity("backbone_tokens_per_second", "New tokens per second, plain backbone",
                 "rate of new tokens of the plain backbone", "rate", "timed", "backbone", higher_is_better=True,
                 listed=False),
        Quantity("deployed_latency", "Latency once deployed", "latency once deployed", "ratio", "timed", listed=False),
        Quantity("inference_flops", "FLOPs of a batch at inference", "FLOPs of inference", "flops", "counted",
                 claimable=True),
        Quantity("backbone_inference_flops", "FLOPs of a batch at inference, plain backbone",
                 "FLOPs of the plain backbone's inference", "flops", "counted", listed=False),
        Quantity("steps_to_target", "Steps to target",
                 "number of steps to the best validation score that both reach", "count", "timed", profiled=False,
                 claimable=True, listed=False),
        Quantity("best_lr", "Learning rate that was found", "learning rate that the search found", "ratio", "counted",
                 profiled=False, claimable=True, listed=False),
        Quantity("wall_seconds", "Wall time of the cell", "wall time of the cell", "seconds", "timed",
                 profiled=False),
        Quantity("general_loss", "Loss on general text", "loss on general text", "nats", "score", profiled=False,
                 listed=False),
        Quantity("forgotten", "Change of the loss on general text", "change of the loss on general text", "nats",
                 "score", profiled=False, listed=False),
    )
}  # fmt: skip

# What a training step's memory is made of; `training_memory_bytes` is their sum.
MEMORY = ("weights_bytes", "gradient_bytes", "optimizer_bytes", "activation_bytes")


def claimable() -> tuple[str, ...]:
    """What a paper's claim may be about."""
    return tuple(quantity.name for quantity in QUANTITIES.values() if quantity.claimable)


def listed() -> tuple[Quantity, ...]:
    """What the page plots and lists, in this order."""
    return tuple(quantity for quantity in QUANTITIES.values() if quantity.listed)


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one; None where none is alike."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def nearest(name: str, known: Iterable[str]) -> str:
    """What follows the name of something unknown: "; did you mean …?", or nothing."""
    close = closest(name, known)
    return f"; did you mean {close!r}?" if close else ""

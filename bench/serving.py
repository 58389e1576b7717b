"""Inference beside the batch of the protocol: of one text, of many, and of new tokens one after the other.

Each pass is timed in turn with one of the plain backbone. These are glances, one round each, so that a profile does not
become much longer: they tell a tenth, not a hundredth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from bench.forms.base import Form
from bench.measuring import Timing, glance
from bench.memory import is_out_of_memory
from records.record import Generation, Passes

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Question = dict[str, "Tensor"]

# Texts in a pass: one as of a user who waits, many as of a queue.
ONE, MANY = 1, 32
NEW_TOKENS = 16


@dataclass(frozen=True)
class Served:
    """Timings by how many texts a pass has, and those of one new token and of `NEW_TOKENS`."""

    passes: dict[int, Timing]
    tokens: dict[int, Timing]


def serve(
    form: Form,
    plain: PreTrainedModel,
    model: PreTrainedModel,
    question: Callable[[int], Question],
    asked: Callable[[int], Question],
    device: torch.device,
) -> Served:
    """Times the adapted model in turn with the plain one, both in evaluation mode and without gradients; `question`
    makes what so many texts ask of the plain one, `asked` of the adapted one. Where memory does not suffice for many
    texts, they are left out."""

    def read(texts: int) -> Timing:
        theirs, ours = question(texts), asked(texts)
        return glance(lambda: form.read(plain, theirs), lambda: form.read(model, ours), device)

    passes = {ONE: read(ONE)}
    try:
        passes[MANY] = read(MANY)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if form.head.kind != "language" or form.encoder_decoder:
        return Served(passes, {})
    theirs, ours = _begun(question(ONE)), _begun(asked(ONE))

    def write(count: int) -> Timing:
        return glance(lambda: _write(plain, theirs, count, form), lambda: _write(model, ours, count, form), device)

    return Served(passes, {count: write(count) for count in (1, NEW_TOKENS)})


def _begun(question: Question) -> Question:
    """What leaves room for new tokens."""
    return {name: ids[:, : max(ids.shape[1] - NEW_TOKENS, 1)] for name, ids in question.items()}


def _write(model: PreTrainedModel, prompt: Question, count: int, form: Form) -> None:
    """As many tokens, greedily, whatever they are."""
    model.generate(  # type: ignore[operator]
        **prompt,
        min_new_tokens=count,
        max_new_tokens=count,
        do_sample=False,
        num_beams=1,
        pad_token_id=form.pad,
        generation_config=None,
    )


def costs_of(unmerged: Served, merged: Served | None) -> dict[str, Any]:
    """As a record has them: seconds are the backbone's beside the unmerged model, times either's own ratio."""

    def told(of: Timing, then: Timing | None) -> dict[str, float | None]:
        return {
            "seconds": of.seconds,
            "merged_seconds": of.reference * then.ratio if then else None,
            "backbone_seconds": of.reference,
        }

    passes = [
        Passes(texts=texts, **told(timing, merged.passes.get(texts) if merged else None))
        for texts, timing in unmerged.passes.items()
    ]
    written = [
        Generation(tokens=tokens, **told(timing, merged.tokens.get(tokens) if merged else None))
        for tokens, timing in unmerged.tokens.items()
    ]
    return {"passes": passes, "generation": written}

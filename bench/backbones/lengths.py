"""How long the texts are that a backbone is given, held against the positions that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.backbones.base import Backbone
    from records.cell import Budget, FormName


@dataclass(frozen=True)
class Asked:
    """A kind of task in a form, within a budget, by a method that puts so many demonstrations (`shots`) before the
    question, and takes so many positions (`extra`) for itself."""

    kind: str
    form: FormName
    budget: Budget
    shots: int = 0
    extra: int = 0

    def beyond(self, backbone: Backbone) -> str | None:
        """What to lower where the backbone's positions do not suffice; None where they do."""
        positions = backbone.positions
        if positions is None:
            return None
        length, times, answer = self.budget.max_length, 1, 0
        if self.kind == "generation" or (self.form == "text" and self.kind != "language modelling"):
            if not backbone.generates:  # which its cells will say
                return None
            times += self.shots
            answer = self.budget.max_target_length if self.kind == "generation" else 0
        # A decoder reads its own answer after the prompt; behind an encoder it has positions of its own.
        beside = self.extra + (0 if backbone.encodes_and_decodes else answer)
        if max(times * length + beside, answer) <= positions:
            return None
        words = f"{length} tokens" if times == 1 else f"a question and {self.shots} demonstrations of {length} each"
        words += f" and an answer of {answer}" if answer else ""
        words += f" and a prompt of {self.extra}" if self.extra else ""
        room = (positions - beside) // times
        advice = f"max_length: {room} or less" if room >= 8 else "a smaller max_length and max_target_length"
        return f"{words} are beyond the {positions} positions of {backbone.spec}; write {advice}"

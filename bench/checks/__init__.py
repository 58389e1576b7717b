"""What a plugin promises, tried out: `bench check` prints it, and a plugin's own tests can run it.

    @pytest.mark.parametrize("check", checks(Mine), ids=str)
    def test_mine(check): check()

Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.checks.base import Check, Fault

__all__ = ["ARCHITECTURES", "Check", "Fault", "checks"]

# An encoder, a decoder and an encoder-decoder.
ARCHITECTURES = ("bert", "llama", "t5")


def checks(
    cls: Any, options: dict[str, Any] | None = None, architectures: Iterable[str] = ARCHITECTURES
) -> list[Check]:
    """All checks of a method's or a task's class, made with `options` (hyperparameters, or a task's options); methods
    are tried on a tiny model of each of the `architectures`. Raises TypeError on what is neither, and whatever making
    a task with its options raises."""
    from bench.checks import subjects

    return subjects.checks(cls, options or {}, tuple(architectures))

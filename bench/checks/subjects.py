"""Which checks there are of a method or a task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.checks.base import Check
from methods.base import Method, MethodBase
from tasks.base import Task


def checks(cls: Any, options: dict[str, Any], architectures: tuple[str, ...]) -> list[Check]:
    """See bench.checks."""
    if isinstance(cls, type) and issubclass(cls, MethodBase):
        return _of_a_method(cls, options, architectures)
    if isinstance(cls, type) and issubclass(cls, Task):
        return _of_a_task(cls, options)
    raise TypeError(f"{cls!r} is a subclass neither of methods.base.MethodBase nor of tasks.base.Task")


def _of_a_method(cls: type[MethodBase], options: dict[str, Any], architectures: tuple[str, ...]) -> list[Check]:
    from bench.checks import classes, fields, methods
    from bench.checks.trials import Trial

    found = [
        _check("card", classes.has_a_card, cls),
        _check("signatures", classes.can_be_called, cls, first=True),
        _check("defaults", classes.has_defaults, cls, first=not options),
    ]
    if not issubclass(cls, Method):  # it trains nothing
        return found

    options = fields.small(cls) | options

    def on(architecture: str, run: Callable[[Trial], object]) -> object:
        return run(Trial.of(cls(**options), architecture))

    def trials() -> list[Trial]:
        return [Trial.of(cls(**options), each) for each in architectures]

    found.append(_check("applies", methods.applies, trials, first=True))
    for name, run in methods.CHECKS.items():
        holds = _promise(run)
        found += [Check(name, holds, partial(on, each, run), each) for each in architectures]
    return found + [_check("field", classes.has_an_effect, cls, name, options, where=name) for name in cls.model_fields]


def _of_a_task(cls: type[Task], options: dict[str, Any]) -> list[Check]:
    from bench.checks import classes, tasks

    task = cls(cls.Options(**options))
    given = tasks.Given(task)
    return [
        _check("card", classes.task_has_a_card, task),
        _check("signatures", classes.task_can_be_called, cls, first=True),
        *(_check(name, run, given) for name, run in tasks.CHECKS.items()),
    ]


def _check(name: str, run: Callable[..., object], *arguments: Any, where: str = "", first: bool = False) -> Check:
    return Check(name, _promise(run), partial(run, *arguments), where, first)


def _promise(run: Callable[..., object]) -> str:
    return (run.__doc__ or "").strip().rstrip(".")

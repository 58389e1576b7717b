"""`bench check`: holds plugins to what they promise."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.checks import ARCHITECTURES, checks
from bench.contained import contained
from bench.durations import seconds_of
from bench.folders import UsageError
from records.text import described, escaped

if TYPE_CHECKING:
    from bench.checks.base import Check, Outcome


# Those of our own take seconds; the data of a task may have to be fetched.
LONGEST_CHECK = "2 min"


def add_command(commands: Any, length_of_time: Callable[[str], str]) -> None:
    """To the parser of the command line."""
    check = commands.add_parser("check", help="hold a method or a task to what plugins promise, and say how to mend it")
    what = "a method's or a task's name, a plugin file, or module:Class"
    check.add_argument("plugin", nargs="*", help=what)
    check.add_argument("--all", action="store_true", help="all methods and tasks that are installed")
    setting = "a hyperparameter, or an option of a task, in place of its default (may be repeated)"
    check.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=setting)
    on = "try methods on a tiny model of this one, in place of bert, llama and t5 (may be repeated)"
    check.add_argument("--architecture", action="append", default=[], metavar="NAME", help=on)
    limit = f"how long a check may take, as in '5 min'; 'none' is without end (default: {LONGEST_CHECK})"
    check.add_argument("--time-limit", type=length_of_time, default=LONGEST_CHECK, help=limit)
    check.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> int:
    from bench.checks.models import CONFIGS
    from bench.worker import quieten
    from records.vocabulary import nearest

    if bool(arguments.plugin) == arguments.all:
        raise UsageError("name the plugins to check, or --all")
    for each in arguments.architecture:
        if each not in CONFIGS:
            known = f"{nearest(each, list(CONFIGS)) or ';'} known: {', '.join(CONFIGS)}"
            raise UsageError(f"--architecture: unknown architecture {each!r}{known}")
    options = dict(map(_setting, arguments.set))
    quieten()
    found = [
        _checked(given, options, arguments.architecture or ARCHITECTURES, seconds_of(arguments.time_limit))
        for given in (_everything() if arguments.all else arguments.plugin)
    ]
    return 0 if all(found) else 1


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    name, equals, value = text.partition("=")
    try:
        if name and equals:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    raise UsageError(f"--set: takes name=value, as in rank=4, not {text!r}")


def _everything() -> list[str]:
    """All that is installed; of libraries, and of what is made to order, nothing."""
    from bench.registry import Registry

    registry = Registry()
    return [*registry.names("methods"), *registry.names("tasks")]


def _checked(given: str, options: dict[str, Any], architectures: Iterable[str], limit: float | None) -> bool:
    """Prints what comes of the checks of what was given, and returns whether all of them hold."""
    from bench.registry import PluginError

    try:
        classes = _classes(given)
    except PluginError as error:
        print(escaped(given))
        print(escaped(f"  FAILED   import: {error}"))
        return False
    hold = True
    for cls in classes:
        name = getattr(cls.card, "name", cls.__name__) if hasattr(cls, "card") else cls.__name__
        print(escaped(f"{name} ({cls.__module__}:{cls.__qualname__})"))
        try:
            with contained(limit):
                found = checks(cls, options, architectures)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise UsageError(escaped(f"{given}: {described(error)}")) from None
        hold &= _tell(list(_outcomes(found, cls, limit)))
    return hold


def _classes(given: str) -> list[Any]:
    """What was named: a file's plugins, a plugin by its name, or a class in a module. Raises PluginError, and
    UsageError where nothing is called so."""
    from bench.plugin_files import importing
    from bench.registry import Kind, PluginError, Registry
    from records.vocabulary import nearest

    if given.endswith(".py"):
        return [plugin.cls for plugin in Registry().add(Path(given).expanduser().resolve())]
    registry = Registry()
    kinds: tuple[Kind, ...] = ("methods", "tasks")
    found = []
    for kind in kinds:
        try:
            found.append(registry.get(kind, given).cls)
        except KeyError as error:
            if error.args != (given,):  # an error of the plugin's own
                raise PluginError(described(error)) from error
    module, colon, name = given.partition(":")
    if not found and colon:
        with importing(given):
            found.append(getattr(importlib.import_module(module), name))
    if not found:
        known = [name for kind in kinds for name in registry.names(kind)]
        near = nearest(given, known) or ";"
        raise UsageError(escaped(f"no method or task {given!r}{near} `bench list` has their names; or name a file"))
    return found


def _outcomes(asked: Iterable[Check], cls: type, limit: float | None) -> Iterator[Outcome]:
    """Up to the first without which the others can say nothing."""
    from bench.checks.base import source_of

    for check in asked:
        yield (outcome := check.outcome(source_of(cls), limit))
        if check.first and outcome.status == "failed":
            return


def _tell(outcomes: list[Outcome]) -> bool:
    """A line for each check, and one more where it fails; those that say the same of other architectures, or fail for
    the same reason, share it."""
    alike: dict[tuple[str, ...], list[Outcome]] = {}
    for each in outcomes:
        key = (each.check.name if each.status == "passed" else "", each.status, each.said, each.mend)
        alike.setdefault(key, []).append(each)
    for same in alike.values():
        first = same[0]
        where = ", ".join(dict.fromkeys(each.check.where for each in same if each.check.where))
        about = ", ".join(dict.fromkeys(each.check.name for each in same)) + (f" ({where})" if where else "")
        if first.status == "failed":
            print(escaped(f"  FAILED   {about}: {first.said}"))
            print(escaped(f"           to mend it: {first.mend}"))
        else:
            print(escaped(f"  {first.status:7}  {about}: {first.said or first.check.holds}"))
    failed = len({each.check.name for each in outcomes if each.status == "failed"})
    count = len({each.check.name for each in outcomes})
    print(f"  {failed} of {count} checks fail" if failed else f"  no check of {count} fails")
    return not failed

"""Runs cells of a PEFT benchmark. Importing this package imports nothing heavy."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m bench`: before anything else is looked for
    from bench.path import leave_current_folder

    leave_current_folder()

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import Results, plan, preview, results, run
    from bench.folders import UsageError
    from bench.suite import Suite, SuiteError
    from records.store import ResultsError

# Where bitsandbytes is installed, it tells at every start, in every process, of a kernel that nobody asked for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

__version__ = "0.2.0"

__all__ = [
    "Results", "ResultsError", "Suite", "SuiteError", "UsageError", "load", "plan", "preview", "results", "run",
]  # fmt: skip

# Imported when they are asked for, and with them what they need.
_MODULES = {
    **dict.fromkeys(("Results", "plan", "preview", "results", "run"), "bench.api"),
    **dict.fromkeys(("Suite", "SuiteError"), "bench.suite"),
    "UsageError": "bench.folders",
    "ResultsError": "records.store",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load(folder: Any, base: Any = ".", plugins: Any = ()) -> tuple[Any, Any]:
    """The model and the tokenizer of a native export: see `bench.export.native.load`."""
    from bench.export import native

    return native.load(folder, base, plugins)

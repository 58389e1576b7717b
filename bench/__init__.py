"""Runs cells of a PEFT benchmark. Importing this package imports nothing heavy."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m bench`: before anything else is looked for
    from bench.path import leave_current_folder

    leave_current_folder()

import logging
from typing import Any

# Where bitsandbytes is installed, it tells at every start, in every process, of a kernel that nobody asked for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

__version__ = "0.2.0"


def load(folder: Any, base: Any = ".", plugins: Any = ()) -> tuple[Any, Any]:
    """The model and the tokenizer of a native export: see `bench.export.native.load`."""
    from bench.export import native

    return native.load(folder, base, plugins)

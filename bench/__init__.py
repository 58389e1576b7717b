"""Runs cells of a PEFT benchmark. Importing this package imports nothing heavy."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m bench`: before anything else is looked for
    from bench.path import leave_current_folder

    leave_current_folder()

import logging

# Where bitsandbytes is installed, it tells at every start, in every process, of a kernel that nobody asked for.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

__version__ = "0.2.0"

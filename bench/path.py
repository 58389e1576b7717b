"""Where modules are found: not in the current folder, in which somebody's data may be called datasets.py."""

from __future__ import annotations

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def leave_current_folder() -> None:
    """Takes the current folder off the path of this process, and of those that it starts, unless PYTHONPATH names it,
    or it is where this package lies: `python -m` puts it there, and so does an empty entry of PYTHONPATH. The entries
    that are left are absolute, whatever folder a plugin may change to."""
    named = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    try:
        here = os.getcwd()
    except OSError:  # it was removed
        return
    if here == ROOT and here not in named:
        named.append(here)
    if here not in named:
        sys.path[:] = [entry for entry in sys.path if entry and os.path.abspath(entry) != here]
    if named:
        os.environ["PYTHONPATH"] = os.pathsep.join(named)
    else:
        os.environ.pop("PYTHONPATH", None)

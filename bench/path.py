"""Where modules are found: not in the current folder, in which somebody's data may be called datasets.py, and our own
not in another package of the same name."""

from __future__ import annotations

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
PACKAGES = ("bench", "records", "methods", "tasks", "reports", "templates")


def strangers() -> str | None:
    """Which of our packages Python finds elsewhere than beside this one, and what to do, in one line. Imports none."""
    strange = []
    for name in PACKAGES:
        places = _places(name)
        if os.path.join(ROOT, name) not in map(os.path.realpath, places):
            strange.append(f"{name!r} is found at {places[0]}" if places else f"{name!r} is not found")
    if not strange:
        return None
    return (
        f"{', '.join(strange)}, and has to come from {ROOT}; use an environment of this clone's own (`make` sets one up"
        " in .venv), or uninstall the other package of that name"
    )


def _places(name: str) -> list[str]:
    """The folders of a package, as a process finds them that has not imported it yet; several where none of them has
    code of its own."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return list(spec.submodule_search_locations or [spec.origin or "no file"])
    return []


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

"""The command `bench`, which is also `python -m bench`."""

from __future__ import annotations

import sys

from bench.path import leave_current_folder, strangers


def main() -> None:
    """Runs the command, once it is seen to that all of its packages are found where this one lies: `bench` and
    `records` are names of other packages, too, and one of these would be imported in their place."""
    leave_current_folder()
    if found := strangers():
        sys.exit(f"bench: {found}")
    from bench.cli import main as command

    command()


if __name__ == "__main__":
    main()

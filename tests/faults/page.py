"""Writes what came of a campaign: docs/faults.md."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import __version__
from records.text import listing
from tests.faults.campaign import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

HEAD = """# What faults do to a run

This page is written by `make faults`, which runs a suite of a few small cells again and again, each time with one
fault, and then as often as a user would until all is done. What is asked of every injection:

- every cell of the suite has one record, and no other is there;
- records (less times), predictions, states and texts are those of the undisturbed run, byte by byte; what was finished
  when the fault struck was not computed again;
- a cell that failed says why, and what befell one cell's process touched no other cell;
- the run said what happened in one line, without a traceback, and did not hang;
- no file is left that was written half, in results and cache, and no process.

Of {count} injections {good} ended so{bad}. Seed {seed}, {date}; adaptbench {version}, Python {python}, torch {torch},
{system}. `make faults ARGS="--seed {seed}"` repeats them, `--random 20 --brief` is what `make test-exhaustive` does.
"""

SECTIONS = {
    "random": """## One fault at a random point

A point is a call by which a process reads, writes, starts another or makes a step; which one is drawn by the seed. The
cells write what real ones write, and train for a tenth of a second.
""",
    "series": """## The n-th call fails, for n = 1, 2, … until none does

The call fails with "No space left on device" (a write leaves half of its data), a fork with "Resource temporarily
unavailable": the n-th alone, and in other runs that and all after it, in all processes. A row's injections are all n.
""",
    "real": """## Real trainings

A two-layer BERT on a made-up task, by the engine itself. In one run there are methods that misbehave beside some that
do not, whose results are those of a run without them; in the others processes are ended by signals at random moments.
""",
}
REMARKS = """## What is not so

- What a plugin has started goes on where the scheduler is killed by SIGKILL, until the next run in the folder ends it.
- A server of workers that is stopped (SIGSTOP) and never continued holds up its run: it looks like one that is slow.
- A single digit that changes on the disk leaves a record that reads well: records have no checksum. Kept files have.
  `bench run` looks at predictions, `bench verify` and exports at states.
- Without flock, a run that died on another machine is not taken over: nothing tells there whether it is dead. The line
  says which file to remove.
"""


def write(outcomes: dict[str, list[Outcome]], seed: int) -> None:
    """Of each section's injections."""
    every = [each for found in outcomes.values() for each in found]
    bad = sum(bool(each.wrong) for each in every)
    parts = [
        HEAD.format(
            count=len(every), good=len(every) - bad, bad=f", and {bad} did not" if bad else "", seed=seed,
            date=datetime.now(UTC).date().isoformat(), version=__version__, python=platform.python_version(),
            torch=metadata.version("torch"), system=f"{platform.system()} {platform.machine()}",
        )
    ]  # fmt: skip
    for name, found in outcomes.items():
        if found:
            parts += [SECTIONS[name], "\n".join(_table(found)) + "\n"]
    PAGE.write_text("\n".join([*parts, REMARKS]), encoding="utf-8")


def _table(outcomes: Iterable[Outcome]) -> list[str]:
    kinds: dict[str, list[Outcome]] = {}
    for each in outcomes:
        kinds.setdefault(each.kind, []).append(each)
    lines = ["| fault | injections | what became of the run | at the end |", "| --- | --: | --- | --- |"]
    for kind, found in sorted(kinds.items()):
        became = Counter(each.became for each in found).most_common()
        said = "; ".join(f"{words} ({n})" if len(became) > 1 else words for words, n in became)
        wrong = sorted({line.split(":")[0] for each in found for line in each.wrong})
        end = listing(wrong) if wrong else "complete and identical"
        lines.append(f"| {kind} | {len(found)} | {said} | {end} |")
    return lines

"""What a search has found, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from records.tuning import Search


def said(found: Iterable[Search]) -> Iterator[str]:
    """Of every search its choice, and what of its trials was stopped or failed."""
    for search in found:
        chosen, first = search.chosen, search.tuning.rungs[0]
        where = f"{search.backbone} · {search.label} · {search.task}"
        failed = [trial.at(first) for trial in search.trials if trial.at(first).reason]
        lost = f"; {len(failed)} without a score: {failed[0].reason}" if failed else ""
        if chosen is None:
            yield f"{where}: nothing found{lost}"
            continue
        values = ", ".join(f"{name} {value:g}" for name, value in chosen.values.items())
        score = f"validation {search.metric.name} {chosen.at(1.0).score:.4f}"
        yield f"{where}: {values} ({score}; {len(search.trials)} trials, {search.spent[0]:,} steps{lost})"

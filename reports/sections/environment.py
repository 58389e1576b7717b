"""Machine and software of the run: the commonest environment of its records."""

from __future__ import annotations

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.model.document import Column, Part, Row, Section, Table
from reports.model.environments import environment_pairs
from reports.model.prose import Prose, say
from reports.results import Results

PLACE = "appendix"
ORDER = 50


def part(analysis: Analysis, prose: Prose) -> Part:
    """One table, where the records tell of an environment."""
    return Part(Section("environment", "Environment", tuple(tables(analysis.everything.results))))


def tables(results: Results) -> list[Table]:
    """How many records differ is said in the caption."""
    environments = results.environments()
    if not environments:
        return []
    environment, ids = environments[0]
    pairs = environment_pairs(environment)
    others = len(environments) - 1
    caption = say(
        "Environment of {n} of {all} records{others}.",
        n=str(len(ids)),
        all=str(len(results.records)),
        others=f"; the others come from {others} other environment{'s' if others > 1 else ''}, listed in the HTML page"
        if others
        else "",
    )
    columns = (Column("Property", "label"), Column("Value", "text", share=0.6))
    data = pd.DataFrame(pairs, columns=["property", "value"])
    return [Table("environment", caption, columns, tuple(Row(pair) for pair in pairs), data)]

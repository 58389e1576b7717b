"""Memory by what holds it: bytes of one training step, beside the measured peak."""

from __future__ import annotations

from records.text import listing
from records.vocabulary import MEMORY
from reports.analysis.analysis import Analysis
from reports.analysis.costs import CostGroup
from reports.model.document import Part, Section, Table, Text, keyed
from reports.model.prose import Prose, join, say
from reports.results import Results
from reports.sections.costs import of_inference
from reports.sections.measures import Measure, columns_and_rows
from reports.sections.rows import several

PLACE = "appendix"
ORDER = 20

_MEASURES = (
    *(Measure(part, "Counted") for part in MEMORY),
    Measure("training_memory_bytes", "Counted"),
    Measure("peak_memory_bytes", "Measured"),
)


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of all configurations."""
    whole = analysis.everything
    made = () if whole.results.scored.empty else tuple(tables(whole))
    return Part(Section("memory", "Memory by What Holds It", made))


def tables(analysis: Analysis) -> list[Table]:
    """A table per backbone and protocol."""
    results = analysis.results
    groups = [group for group in analysis.costs if any(group.means(part) for part in MEMORY)]
    made = []
    for position, group in enumerate(groups):
        columns, rows, data = columns_and_rows(results, group, _MEASURES)
        key = keyed("memory", position, len(groups))
        made.append(Table(key, _caption(results, group), columns, rows, data, wide=True))
    return made


def _caption(results: Results, group: CostGroup) -> Text:
    mean = say(
        "Memory of training on {backbone}, mean over up to {cells} ({tasks}).",
        backbone=results.title("backbones", group.backbone),
        cells=several(group.most, "profiled cell"),
        tasks=listing(group.tasks),
    )
    parts = (
        "The parts are counted from tensors in the costliest phase; the peak is measured and also holds what the parts"
        " leave out (temporary buffers, the allocator's reserve)."
    )
    return join([mean, say(parts), of_inference(results, group)])

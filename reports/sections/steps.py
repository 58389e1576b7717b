"""Where a training step's time goes, how near it comes to the machine's peak, and its energy."""

from __future__ import annotations

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.costs import CostGroup
from reports.model.document import Part, Section, Table, Text, keyed
from reports.model.prose import Prose, join, say
from reports.model.writing import amount, span, three_digits
from reports.results import Results
from reports.scales import Unit
from reports.sections.measures import Measure, columns_and_rows
from reports.sections.rows import paragraphs, several

PLACE = "appendix"
ORDER = 21

_PARTS = ("forward_percent", "backward_percent", "optimizer_percent")
# Under one heading, so that they are written with as many decimals.
_TOGETHER = "Share of the time"
_RATE = Unit("GFLOP/s", 1e-9, 0)
_MEASURES = (*_PARTS, "peak_percent", "step_joules")


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of all configurations that are trained; nothing where steps were not split."""
    whole = analysis.everything
    groups = [group for group in whole.costs if group.means("forward_percent")]
    if not groups:
        return Part()
    said = [_sentences(whole.results, group) for group in groups]
    made = [_table(whole.results, group, keyed("steps", i, len(groups))) for i, group in enumerate(groups)]
    return Part(Section("steps", "Where a Step's Time Goes", (*paragraphs(said), *made)))


def _sentences(results: Results, group: CostGroup) -> list[Text]:
    backward, peak, energy = (group.means(name) for name in ("backward_percent", "peak_percent", "step_joules"))
    least, most = min(backward, key=backward.__getitem__), max(backward, key=backward.__getitem__)
    said = [
        say(
            "On {backbone} the backward pass takes {range} of a training step, least with {least}, most with {most}.",
            backbone=results.title("backbones", group.backbone),
            range=_percent(backward),
            least=least,
            most=most,
        )
        if least != most
        else say(
            "On {backbone} the backward pass of {label} takes {range} of a training step.",
            backbone=results.title("backbones", group.backbone),
            label=least,
            range=_percent(backward),
        )
    ]
    if peak:
        reached = "Steps reach {range} of the FLOP/s of a product of large square matrices: the rest is memory traffic,"
        said.append(say(f"{reached} small kernels and what is no product.", range=_percent(peak)))
    if energy:
        used = "A step takes {joules} J, all that the machine's counter counted in that time, idling included."
        ends = " to ".join(dict.fromkeys(three_digits(value) for value in (min(energy.values()), max(energy.values()))))
        said.append(say(used, joules=ends))
    return said


def _percent(values: dict[str, float]) -> str:
    return f"{span(values.values(), 0)}\u00a0%"


def _table(results: Results, group: CostGroup, key: str) -> Table:
    measures = [Measure(name, _TOGETHER if name in _PARTS else None) for name in _MEASURES if group.means(name)]
    columns, rows, data = columns_and_rows(results, group, measures)
    rates = group.means("matmul_flops_per_second").values()
    caption = join(
        [
            say(
                "Shares of a training step's time on {backbone}, mean over up to {cells} ({tasks}).",
                backbone=results.title("backbones", group.backbone),
                cells=several(group.most, "profiled cell"),
                tasks=listing(group.tasks),
            ),
            say(
                "Medians of a few steps beside those that are timed, stamped after the forward and after the backward"
                " pass; what is computed again under activation checkpointing is in the latter, and clipping, the"
                " schedule and the method's own is with the optimiser."
            ),
            say(
                "Peak: a product of square matrices in the same precision, timed in turn with these steps ({rate}).",
                rate=" to ".join(dict.fromkeys(amount(rate, _RATE) for rate in (min(rates), max(rates)))),
            )
            if rates
            else (),
        ]
    )
    return Table(key, caption, columns, rows, data)

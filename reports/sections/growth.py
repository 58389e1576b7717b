"""What becomes of costs as backbones grow."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.analysis.growth import Grown, Growth
from reports.drawing import growth as drawing
from reports.model.document import Part, Section, Text, keyed
from reports.model.prose import Prose, say
from reports.model.writing import count, ratio, span
from reports.results import Results
from reports.sections.rows import shown

PLACE = "appendix"
ORDER = 24

_SAID: dict[Grown, str] = {
    "step": "A training step takes {small} times the yardstick's on the smallest, and {large} times on the largest.",
    "peak": "Without full fine-tuning, training holds {small}\u00a0% of its peak memory on the smallest, and"
    " {large}\u00a0% on the largest.",
    "trained": "Trained are {small}\u00a0% of the smallest, and {large}\u00a0% of the largest.",
}
_DECIMALS: dict[Grown, int] = {"step": 2, "peak": 0, "trained": 2}


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of all configurations; nothing where one size alone was profiled."""
    whole = analysis.everything
    found = [each for each in whole.growth if each.lines]
    if not found:
        return Part()
    figures = [drawing.figure(each, keyed("growth", i, len(found))) for i, each in enumerate(found)]
    said = [_sentences(whole.results, each) for each in found]
    return Part(Section("growth", "As Backbones Grow", shown(said, figures)))


def _sentences(results: Results, growth: Growth) -> list[Text]:
    """From the smallest to the largest, over what was profiled on both."""
    (smallest, least), *_, (largest, most) = growth.sizes.items()
    said = [
        say(
            "From {smallest} ({least}) to {largest} ({most}), backbones grow {times} times.",
            smallest=results.title("backbones", smallest),
            least=count(least),
            largest=results.title("backbones", largest),
            most=count(most),
            times=ratio(most / least),
        )
    ]
    for name, lines in growth.lines.items():
        both = [dict(line.points) for line in lines]
        both = [points for points in both if least in points and most in points]
        if both:
            small, large = (span([points[size].mean for points in both], _DECIMALS[name]) for size in (least, most))
            said.append(say(_SAID[name], small=small, large=large))
    return said

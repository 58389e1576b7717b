"""Inference of one text and of many, and of new tokens one after the other: a method's price depends on the shape."""

from __future__ import annotations

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.costs import CostGroup
from reports.cost_columns import GLANCED, RATES
from reports.model.document import Part, Section, Table, Text, keyed
from reports.model.prose import Prose, join, say
from reports.model.writing import decimal, span
from reports.results import Results
from reports.sections.measures import Measure, columns_and_rows
from reports.sections.rows import paragraphs, several

PLACE = "appendix"
ORDER = 22

# What a glance can tell from none.
TOLD = 1.1
_SHAPES = {"one": "One text", "many": "Many texts", "first_token": "First token"}


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of all configurations; nothing where only the protocol's batch was timed."""
    whole = analysis.everything
    groups = [group for group in whole.costs if group.means("one_latency")]
    if not groups:
        return Part()
    said = [_sentences(whole.results, group) for group in groups]
    made = [_table(whole.results, group, keyed("serving", i, len(groups))) for i, group in enumerate(groups)]
    return Part(Section("serving", "Inference of One Text and of Many", (*paragraphs(said), *made)))


def _sentences(results: Results, group: CostGroup) -> list[Text]:
    """Where nothing is multiplied but a few rows, what a method adds is launches and copies, not arithmetic."""
    one, many = group.means("one_latency"), group.means("many_latency")
    both = [label for label in one if label in many]
    if not both:
        return []
    said = [
        say(
            "With the method in place, a pass of one text takes {one} times the plain backbone's on {backbone}, one of"
            " many {many} times.",
            one=span([one[label] for label in both], 2),
            many=span([many[label] for label in both], 2),
            backbone=results.title("backbones", group.backbone),
        )
    ]
    dearest = max(both, key=one.__getitem__)
    if one[dearest] >= TOLD:
        most = "{label} adds most to one text: × {one}, and × {many} to many."
        said.append(say(most, label=dearest, one=decimal(one[dearest], 2), many=decimal(many[dearest], 2)))
    return said


def _table(results: Results, group: CostGroup, key: str) -> Table:
    many, tokens = _shapes(results, group)
    measures = [
        *(Measure(name, _SHAPES[of]) for of, names in GLANCED.items() for name in names),
        *(Measure(name, "New tokens per second") for name in RATES),
    ]
    columns, rows, data = columns_and_rows(results, group, [each for each in measures if group.means(each.name)])
    caption = join(
        [
            say(
                "Inference of other shapes on {backbone}, mean over up to {cells} ({tasks}): over the plain backbone's"
                " time, with the method in place, and folded into the backbone where the method can be merged.",
                backbone=results.title("backbones", group.backbone),
                cells=several(group.most, "profiled cell"),
                tasks=listing(group.tasks),
            ),
            say("Texts have the length of training; many are {texts}.", texts=many) if many else (),
            say("New tokens are greedy ones after one prompt, {tokens} of them.", tokens=tokens) if tokens else (),
            say("Each is the median of three pairs of passes in turn: it tells a tenth, not a hundredth."),
        ]
    )
    return Table(key, caption, columns, rows, data, wide=True)


def _shapes(results: Results, group: CostGroup) -> tuple[str, str]:
    """How many texts are many, and how many tokens are written; empty where none are."""
    costs = [cost for cell in group.cells.index if (cost := results.records[str(cell)].cost)]
    texts = {each.texts for cost in costs for each in cost.passes if each.texts > 1}
    tokens = {each.tokens for cost in costs for each in cost.generation if each.tokens > 1}
    return " or ".join(map(str, sorted(texts))), " or ".join(map(str, sorted(tokens)))

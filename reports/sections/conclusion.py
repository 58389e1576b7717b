"""What the numbers allow to be said, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.analysis import Analysis
from reports.analysis.claims import Verdict, tally
from reports.analysis.contrasts import Contrast
from reports.analysis.statistics import MIN_PAIRS
from reports.model.document import Block, Code, Inline, Paragraph, Part, Prompt, Section, Slide, Text, listing
from reports.model.prose import Prose
from reports.model.writing import numeral, plural
from reports.results import SCORED, Results
from reports.sections.cutting import sentences

PLACE = "after"
ORDER = 20


def part(analysis: Analysis, prose: Prose) -> Part:
    section = conclusion(analysis)
    points = tuple(sentences(section.blocks[0].text))[:5]  # type: ignore[union-attr]
    title = "What can be said, and what cannot"
    return Part(section, (Slide(title, points, order=100, words="One question for the discussion."),))


def conclusion(analysis: Analysis) -> Section:
    """What the numbers allow to be said, and what they do not."""
    view = analysis.results
    blocks: list[Block] = []
    said = [*_scores(analysis), *_tests(analysis.contrasts), *_claims(analysis.verdicts), *_scope(view)]
    if said:
        blocks.append(Paragraph(tuple(said)))
    blocks.append(Prompt(("What do you take from this, and how sure are you? Name the one measurement that would"
                          " change your mind.",), key="conclusion"))  # fmt: skip
    return Section("conclusion", "Conclusion", tuple(blocks))


def _scores(analysis: Analysis) -> Text:
    """The topic's best on validation data, beside full fine-tuning."""
    view, topic = analysis.results, analysis.topic
    own = analysis.own
    others = [label for label in own if label != view.reference]
    text: list[Inline] = []
    beside = " besides full fine-tuning" if view.reference in own else ""
    whose = " of this family" if topic.family else beside
    before = None
    for task in view.tasks[:3]:
        scored, where = analysis.scored, (view.backbones[0], task)
        means = {label: found.mean for label in view.labels if (found := scored.of("score", *where, label)[0]).n}
        ranked = {label: validation.mean for label in others if label in means
                  if (validation := scored.of("validation_score", *where, label)[0]).n}  # fmt: skip
        if not ranked:
            continue
        best = max(ranked, key=ranked.__getitem__)
        scale = view.scale(task)
        full = f" ({scale.text(means[view.reference])} for full fine-tuning)" if view.reference in means else ""
        place, scored_there = f"n {view.title('tasks', task)} ", f"{scale.text(means[best])}{scale.points_after}{full}"
        if before is None and len(others) == 1:
            text += [f"O{place}", Code(best), f", the only configuration{whose}, has a mean test score of"
                     f" {scored_there}"]  # fmt: skip
        elif before is None:
            text += [f"O{place}the configuration{whose} with the {view.highest} mean validation score is ", Code(best),
                     f", whose mean test score is {scored_there}"]  # fmt: skip
        elif before == best:
            text.append(f"; o{place}it has {scored_there}")
        else:
            text += [f"; o{place}it is ", Code(best), f", with {scored_there}"]
        before = best
    return (*text, ". ") if text else ()


def _tests(found: Sequence[Contrast]) -> Text:
    if not found:
        return ()
    tested = [d for d in found if d.adjusted is not None]
    if not tested:
        most = max(d.comparison.n for d in found)
        return (f"With {plural(most, 'seed')} in common (fewer than {MIN_PAIRS}) no difference on a single task was"
                " tested, and the order of the means is a description, not a result. ",)  # fmt: skip
    real = sum((d.adjusted or 1.0) < 0.05 for d in tested)
    return (f"Of {plural(len(tested), 'tested difference')} to full fine-tuning {real} can be told from noise;"
            " for the others neither a difference nor equality is shown. ",)  # fmt: skip


def _claims(verdicts: Sequence[Verdict]) -> Text:
    if not verdicts:
        return ()
    counts = tally(verdicts)
    untested = counts.pop("not testable here", 0)
    if untested == len(verdicts):
        return (f"Of {plural(untested, 'claim')} of the papers none could be tested here. ",)
    fates = [f"{numeral(n)} came out {o}" for o, n in counts.items()]
    came = listing([*fates, *([f"{numeral(untested)} could not be tested here"] if untested else [])])
    return (f"Of {plural(len(verdicts), 'claim')} of the papers {came}. ",)


def _scope(view: Results) -> Text:
    missing = int((~view.cells["status"].isin(SCORED)).sum())
    lost = f" {plural(missing, 'cell').capitalize()} left no score and may hide a weakness." if missing else ""
    backbone = listing([view.title("backbones", b) for b in view.backbones])
    return (f"All of this holds for {backbone}, for {plural(len(view.tasks), 'task')} and for this budget.{lost}",)

"""Everything that a report computes, each thing once: from a results folder to one Analysis that is handed on.

Documents, talks, pages and macros look up what they show here; none of them computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from reports.analysis import checklist as checklists
from reports.analysis import choices as choosing
from reports.analysis import claims, compositions, contrasts, costs, curves, forgetting, fronts, overview, ranks
from reports.analysis import limits as limitations
from reports.analysis import scores as scoring
from reports.analysis import sensitivity as sensitivities
from reports.analysis import sweeps as sweeping
from reports.analysis.claims import Verdict
from reports.analysis.contrasts import Contrast, Tested
from reports.analysis.focus import focus
from reports.analysis.summaries import Summaries
from reports.model.references import Entry, references_of, run_entry
from reports.model.topics import Topic, chosen
from reports.outcomes import Outcomes, read_outcomes
from reports.results import Results


@dataclass(frozen=True)
class Analysis:
    """What a topic's main part shows of a run. `results` holds the configurations of the main part; `contrasts` and
    `verdicts` are those about them, corrected over all that the run makes. `everything` is the analysis of all
    configurations: itself, where the main part shows all.

    What follows is computed when it is first asked for, and kept. Means, spreads and counts of any figure are in
    `scored`, over the cells that have a score.
    """

    topic: Topic
    results: Results
    contrasts: tuple[Contrast, ...]
    verdicts: tuple[Verdict, ...]
    whole: Analysis | None = None

    @property
    def everything(self) -> Analysis:
        """The analysis of all configurations."""
        return self.whole or self

    @property
    def own(self) -> list[str]:
        """The configurations of the topic's family; all of them, where the topic is all."""
        return [label for label in self.results.labels if self.topic.family in (None, self.results.family_of(label))]

    @cached_property
    def run(self) -> Entry:
        """The run itself, as a reference."""
        return run_entry(self.everything.results)

    @cached_property
    def references(self) -> dict[str, Entry]:
        """All that can be cited, by key."""
        return references_of(self.everything.results)

    @cached_property
    def scored(self) -> Summaries:
        return Summaries(self.results.scored)

    @cached_property
    def outcomes(self) -> dict[tuple[str, str], Outcomes]:
        """What is known of each test example, by backbone and task; only where predictions were kept."""
        pairs = [(backbone, task) for backbone in self.results.backbones for task in self.results.tasks]
        found = {pair: read_outcomes(self.results, *pair) for pair in pairs}
        return {pair: outcomes for pair, outcomes in found.items() if outcomes}

    @cached_property
    def scores(self) -> list[scoring.BackboneScores]:
        """The means and spreads of test scores; only backbones that have some."""
        return scoring.by_backbone(self.results, self.scored)

    @cached_property
    def tested(self) -> Tested:
        """What the contrasts show."""
        return contrasts.tested(self.results, self.contrasts)

    @cached_property
    def costs(self) -> list[costs.CostGroup]:
        """By backbone and protocol of the profile."""
        return costs.cost_groups(self.results)

    @cached_property
    def tradeoff(self) -> dict[str, list[fronts.Point]]:
        """Scores against trained parameters, by backbone; only backbones that have some."""
        found = {b: fronts.tradeoff(self.results, self.scored, b) for b in self.results.backbones}
        return {backbone: points for backbone, points in found.items() if points}

    @cached_property
    def fronts(self) -> list[fronts.Front]:
        """Scores against what is measured of cost."""
        return fronts.fronts(self.results, self.costs)

    @cached_property
    def choices(self) -> list[choosing.Choices]:
        return choosing.choices(self.results, self.costs)

    @cached_property
    def curves(self) -> curves.Curves:
        return curves.curves(self.results)

    @cached_property
    def forgetting(self) -> list[forgetting.Forgetting]:
        return forgetting.forgetting(self.results)

    @cached_property
    def sweeps(self) -> list[sweeping.Sweep]:
        return sweeping.sweeps(self.results)

    @cached_property
    def sensitivities(self) -> list[sensitivities.Sensitivity]:
        """Of configurations that were run with more than one learning rate."""
        return sensitivities.sensitivity(self.results)

    @cached_property
    def standings(self) -> list[ranks.Standing]:
        """Over several tasks, by backbone."""
        return ranks.standings(self.results, self.scored)

    @cached_property
    def ratings(self) -> list[compositions.AxisRating]:
        """The survey's table, measured."""
        return compositions.composition_table(self.results)

    @cached_property
    def limits(self) -> limitations.Limits:
        """Of what the main part shows."""
        return limitations.limits(self.results)

    @cached_property
    def facts(self) -> checklists.Facts:
        """What reviewers ask."""
        return checklists.facts(self.results)

    @cached_property
    def ranges(self) -> list[overview.Range]:
        return overview.ranges(self.results)

    @cached_property
    def best(self) -> list[overview.Best]:
        """Of the topic's own but full fine-tuning, on the first backbone."""
        others = [label for label in self.own if label != self.results.reference]
        return overview.best(self.results, self.scored, others, self.results.backbones[0])


def analyse(results: Results, topic: Topic | None = None) -> Analysis:
    """The analysis of a run for a report, a talk or a page about `topic`, by default all families."""
    topic = topic or chosen()
    whole = Analysis(
        topic,
        results,
        tuple(contrasts.compare_with_reference(results, Summaries(results.scored))),
        tuple(claims.assess(results)),
    )
    view = focus(results, topic)
    shown = [verdict for verdict in whole.verdicts if verdict.label in view.labels]
    if topic.family is not None:
        shown = [verdict for verdict in shown if results.family_of(verdict.label) == topic.family]
    if view is results and topic.family is None:
        return whole
    about = tuple(contrast for contrast in whole.contrasts if contrast.label in view.labels)
    return Analysis(topic, view, about, tuple(shown), whole)

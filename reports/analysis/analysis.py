"""Everything that a report computes, each thing once: from a results folder to one Analysis that is handed on.

Documents, talks, pages and macros look up what they show here; none of them computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reports.analysis import checklist as checklists
from reports.analysis import choices as choosing
from reports.analysis import (
    claims,
    compositions,
    contrasts,
    costs,
    curves,
    exclusion,
    forgetting,
    fronts,
    overview,
    ranks,
)
from reports.analysis import errors as erring
from reports.analysis import growth as growing
from reports.analysis import limits as limitations
from reports.analysis import penalties as penalising
from reports.analysis import proportions as sharing
from reports.analysis import provenance as sources
from reports.analysis import rewinding as rewound
from reports.analysis import scores as scoring
from reports.analysis import secondary as secondaries
from reports.analysis import sensitivity as sensitivities
from reports.analysis import sweeps as sweeping
from reports.analysis import targets as nearing
from reports.analysis import tuning as searching
from reports.analysis.claims import Verdict
from reports.analysis.contrasts import Contrast, Overall, Tested
from reports.analysis.focus import focus
from reports.analysis.rank_sets import Ranks, RankSets
from reports.analysis.summaries import Summaries
from reports.model.references import Entry, references_of, run_entry
from reports.model.topics import Topic, chosen
from reports.outcomes import Outcomes, read_all
from reports.results import Results
from reports.searches import read_searches


@dataclass(frozen=True)
class Analysis:
    """What a topic's main part shows of a run. `results` holds the configurations of the main part; `contrasts` and
    `verdicts` are those about them, corrected over all that the run makes. `outcomes` are what is known of each test
    example, by backbone and task, where predictions were kept; `shares` is what the number of test examples alone tells
    of configurations with one seed and without predictions. `everything` is the analysis of all configurations: itself,
    where the main part shows all.

    What follows is computed when it is first asked for, and kept. Means, spreads and counts of any figure are in
    `scored`, over the cells that have a score.
    """

    topic: Topic
    results: Results
    contrasts: tuple[Contrast, ...]
    verdicts: tuple[Verdict, ...]
    whole: Analysis | None = None
    outcomes: Mapping[tuple[str, str], Outcomes] = field(default_factory=dict)
    shares: tuple[sharing.Shares, ...] = ()

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
    def rank_sets(self) -> Ranks:
        """Between which ranks configurations lie, on a task or over several; as far as the data say it."""
        joints = {(of.backbone, of.task): of.joint() for of in self.shares}
        return Ranks(self.results, self.scored, self.outcomes, joints)

    @cached_property
    def ranked(self) -> list[RankSets]:
        """By backbone, over its tasks whose scores may be averaged; only where ranks have confidence sets."""
        made = [self.rank_sets.over_all(backbone) for backbone in self.results.backbones]
        return [found for found in made if found is not None]

    @cached_property
    def errors(self) -> list[erring.Errors]:
        """Which examples are answered wrongly, and by whom; only where predictions were kept."""
        return erring.errors(self.results, self.scored)

    @cached_property
    def provenance(self) -> sources.Provenance | None:
        """Of results that others published."""
        return sources.provenance(self.everything.results)

    @cached_property
    def secondary(self) -> list[secondaries.Secondary]:
        """Metrics beside the primary one, of results that others published."""
        return secondaries.secondary(self.results)

    @cached_property
    def scores(self) -> list[scoring.BackboneScores]:
        """The means and spreads of test scores; only backbones that have some."""
        return scoring.by_backbone(self.results, self.scored)

    @cached_property
    def tested(self) -> Tested:
        """What the contrasts show."""
        return contrasts.tested(self.results, self.contrasts)

    @cached_property
    def over_tasks(self) -> list[Overall]:
        """The same over several tasks, corrected over all that the run makes."""
        whole = self.everything
        found = contrasts.over_tasks(whole.results, whole.contrasts)
        return [overall for overall in found if overall.label in self.results.labels]

    @cached_property
    def costs(self) -> list[costs.CostGroup]:
        """By backbone and protocol of the profile."""
        return costs.cost_groups(self.results)

    @cached_property
    def tradeoff(self) -> dict[str, list[fronts.Point]]:
        """Scores against trained parameters, by backbone; only backbones that have some."""
        found = {b: fronts.tradeoff(self.results, self.scored, b, self.rank_sets) for b in self.results.backbones}
        return {backbone: points for backbone, points in found.items() if points}

    @cached_property
    def fronts(self) -> list[fronts.Front]:
        """Scores against what is measured of cost."""
        return fronts.fronts(self.results, self.costs, self.rank_sets)

    @cached_property
    def choices(self) -> list[choosing.Choices]:
        return choosing.choices(self.results, self.costs, self.rank_sets)

    @cached_property
    def shown_worse(self) -> exclusion.ShownWorse:
        """Which configuration is shown to be worse than which; the rest are not excluded from being the best."""
        return exclusion.shown_worse(self.results, self.scored, self.rank_sets)

    @cached_property
    def curves(self) -> curves.Curves:
        return curves.curves(self.results)

    @cached_property
    def targets(self) -> list[nearing.Target]:
        """How soon configurations come near full fine-tuning."""
        return nearing.targets(self.results)

    @cached_property
    def growth(self) -> list[growing.Growth]:
        """Costs against the size of the backbone; only where several were profiled alike."""
        return growing.growth(self.results, self.costs)

    @cached_property
    def penalties(self) -> list[penalising.Penalties]:
        """Score and costs in one figure, as another benchmark has it."""
        return penalising.penalties(self.results, self.costs)

    @cached_property
    def forgetting(self) -> list[forgetting.Forgetting]:
        return forgetting.forgetting(self.results)

    @cached_property
    def rewinding(self) -> list[rewound.Rewinding]:
        """Scores between the backbone and merged models, by backbone; only where cells were rewound."""
        return rewound.rewinding(self.results)

    @cached_property
    def sweeps(self) -> list[sweeping.Sweep]:
        return sweeping.sweeps(self.results)

    @cached_property
    def sensitivities(self) -> list[sensitivities.Sensitivity]:
        """Of configurations that were run with more than one learning rate."""
        return sensitivities.sensitivity(self.results)

    @cached_property
    def tuned(self) -> list[searching.Tuned]:
        """What was searched of the configurations of the main part, and found."""
        return searching.tuned(self.results, read_searches(self.results))

    @cached_property
    def standings(self) -> list[ranks.Standing]:
        """Over several tasks, by backbone."""
        return ranks.standings(self.results, self.scored, self.rank_sets)

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
    kept, shares = read_all(results), sharing.shares_of(results)
    whole = Analysis(
        topic,
        results,
        tuple(contrasts.compare_with_reference(results, Summaries(results.scored), kept, shares)),
        tuple(claims.assess(results, kept)),
        outcomes=kept,
        shares=shares,
    )
    view = focus(results, topic)
    shown = [verdict for verdict in whole.verdicts if verdict.label in view.labels]
    if topic.family is not None:
        shown = [verdict for verdict in shown if results.family_of(verdict.label) == topic.family]
    if view is results and topic.family is None:
        return whole
    about = tuple(contrast for contrast in whole.contrasts if contrast.label in view.labels)
    return Analysis(
        topic,
        view,
        about,
        tuple(shown),
        whole,
        {place: outcomes.of(view.labels) for place, outcomes in kept.items()},
        tuple(of.of(view.labels) for of in shares),
    )

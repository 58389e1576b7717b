"""What the report says, once: sections, sentences, tables and figures, for LaTeX and HTML alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from reports.analysis.analysis import Analysis
from reports.analysis.claims import Verdict
from reports.drawing import figures, fronts, sweeps
from reports.model.document import (
    Block,
    Cite,
    Code,
    Document,
    Figure,
    Inline,
    Paragraph,
    Prompt,
    Ref,
    Section,
    Table,
    Text,
    listing,
)
from reports.model.references import Entry
from reports.model.topics import Topic
from reports.model.writing import numeral
from reports.results import SCORED, Results
from reports.sections import (
    appendix,
    background,
    choices,
    closing,
    experiment,
    findings,
    forgetting,
    opening,
    setup,
    tables,
    verdict_tables,
)

# A table of claims that is longer than this may move to the appendix; of more than so many it is the first to go.
MANY_CLAIMS, PAGES_OF_CLAIMS = 12, 24


def compose(analysis: Analysis, references: dict[str, Entry], run: str = "") -> Document:
    """The document of an analysis. Only works in `references` are cited; `run` is the run's own key there."""
    results, topic = analysis.everything.results, analysis.topic
    sections = (
        opening.introduction(results, topic),
        background.section(results, analysis.results, topic),
        _cite_run(experiment.section(analysis), run),
        _results(analysis, references),
        closing.limitations(analysis.results, topic),
        closing.conclusion(analysis),
    )
    number = f"{numeral(len(results.labels)).capitalize()} Method{'s' if len(results.labels) != 1 else ''}"
    document = Document(
        title=f"{topic.title}: {'A Critical Look under One Budget' if topic.family else number + ' under One Budget'}",
        subtitle=f"Report on the suite “{results.name}”",
        date=results.manifest.created[:10],
        facts=_facts(results),
        abstract=opening.abstract(analysis),
        sections=sections,
        appendix=appendix.sections(analysis),
        spare=_spare(sections, analysis.verdicts),
    )
    return known_only(document, references)


def for_page(document: Document) -> Document:
    """As the web page shows it: without places for a student's words, and with the survey's table in its body. Cells
    and environments have views of their own there."""

    def without(section: Section) -> Section:
        blocks = tuple(block for block in section.blocks if not isinstance(block, Prompt))
        return replace(section, blocks=blocks, sections=tuple(without(s) for s in section.sections))

    more = tuple(section for section in document.appendix if section.key not in ("cells", "environment"))
    return replace(document, sections=tuple(without(s) for s in (*document.sections, *more)))


def _cite_run(section: Section, run: str) -> Section:
    if not run:
        return section
    said = Paragraph(("The run that this report reads has an entry of its own ", Cite((run,)), ", in ",
                      Code("run.bib"), "."), "Data of this report.")  # fmt: skip
    return replace(section, blocks=(said, *section.blocks))


def _facts(results: Results) -> tuple[tuple[str, str], ...]:
    done = int(results.cells["status"].isin(SCORED).sum())
    return (
        ("Backbone" + ("s" if len(results.backbones) > 1 else ""),
         listing([results.title("backbones", b) for b in results.backbones])),
        ("Methods", str(len(results.labels))),
        ("Tasks", str(len(results.tasks))),
        ("Seeds", str(results.cells["seed"].nunique())),
        ("Cells with a score", f"{done} of {len(results.cells)}"),
    )  # fmt: skip


def _results(analysis: Analysis, references: dict[str, Entry]) -> Section:
    results, view, topic, verdicts = analysis.everything.results, analysis.results, analysis.topic, analysis.verdicts
    missing = setup.unfinished(view)
    if view.scored.empty:
        nothing = Paragraph(("No cell of this suite has a score yet, so that there is nothing to compare.",))
        return Section("results", "Results", (nothing, *findings.unfinished(view), *missing))
    claims = [*verdict_tables.claims(verdicts, references), *verdict_tables.untestable(verdicts, references)]
    varied = [sweeps.sweep_figure(sweep) for sweep in analysis.sweeps]
    parts = [
        Section("scores", "Scores", (*_cut(results, view, topic), *_shown(findings.scores(analysis),
                                     [*tables.scores(analysis), *fronts.heatmap(analysis)]))),
        Section("differences", "Differences to full fine-tuning",
                (*findings.differences(analysis), *tables.differences(analysis))),
        Section("tradeoff", "Score against trainable parameters",
                _shown(findings.tradeoff(analysis), figures.tradeoff(analysis))),
        Section("cost", "Memory, throughput and latency",
                _shown(findings.costs(analysis),
                       [*figures.cost(analysis), *fronts.fronts(analysis), *tables.costs(analysis)])),
        Section("choices", "Which configuration for which constraint", _choices(analysis)),
        Section("curves", "Learning curves", _shown(findings.curves(analysis), figures.curves(analysis))),
        Section("forgetting", "What was forgotten", tuple(forgetting.blocks(analysis))),
        Section("sweeps", "What the suite varies", _shown([Paragraph((
            "Some configurations differ in one thing alone.",))] if varied else [], varied)),
        Section("claims", "Claims of the papers", (*verdict_tables.told(verdicts), *claims)),
    ]  # fmt: skip
    if missing or findings.unfinished(view):
        parts.append(Section("unfinished", "What is missing", (*findings.unfinished(view), *missing)))
    prompt = Prompt(("Which of these numbers surprised you, and what could explain it besides the method itself?",),
                    key="results")  # fmt: skip
    parts.append(Section("reading", "Reading the numbers", (prompt,)))
    return Section("results", "Results", (), tuple(part for part in parts if part.blocks))


def _shown(said: Sequence[Paragraph], blocks: Sequence[Table | Figure]) -> tuple[Block, ...]:
    """What is said, which names all that is shown, and then what is shown."""
    if not said or not blocks:
        return (*said, *blocks)
    last = replace(said[-1], text=(*said[-1].text, " See ", *_refs(blocks), "."))
    return (*said[:-1], last, *blocks)


def _refs(blocks: Sequence[Table | Figure]) -> list[Inline]:
    refs: list[Inline] = []
    for i, block in enumerate(blocks):
        refs += ["" if not i else " and " if i == len(blocks) - 1 else ", ", Ref(block.label)]
    return refs


def _cut(results: Results, view: Results, topic: Topic) -> list[Block]:
    """What the main part leaves out, where it does."""
    left = len(results.labels) - len(view.labels)
    if not left:
        return []
    return [
        Paragraph((f"The tables of this part show the {topic.family} family, the baselines, and of every other family"
                   f" the configuration with the {results.highest} mean validation score; the other"
                   f" {numeral(left)} are in ", Ref("sec:all"), "."))
    ]  # fmt: skip


def _choices(analysis: Analysis) -> tuple[Block, ...]:
    made = choices.decisions(analysis)
    if not made:
        return ()
    say = Paragraph((*_refs(made), f" ask{'s' if len(made) == 1 else ''} the question the other way round: given a"
                     " constraint, which configuration would a user of validation data have chosen?"))  # fmt: skip
    return (say, *made)


def _spare(sections: tuple[Section, ...], verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """What may move to the appendix, in the order in which it is kept in the main part."""
    there = {
        block.label for block in Document("", "", "", (), (), sections).walk() if isinstance(block, (Table, Figure))
    }
    inner = {s.label for section in sections for one in section.sections for s in (one, *one.sections)}
    n = len(verdict_tables.testable(verdicts) or verdicts)
    first = ["tab:claims"] if MANY_CLAIMS < n <= PAGES_OF_CLAIMS else []
    last = ["tab:claims"] if n > PAGES_OF_CLAIMS else []

    def of(*stems: str) -> list[str]:
        """The first of a kind."""
        return [label for stem in stems for label in (stem, f"{stem}-1") if label in there]

    order = [*first, *of("fig:cost", "tab:choices", "fig:fronts", "tab:unfinished", "tab:cost", "tab:hyperparameters"),
             *of("fig:learning-rate", "fig:train-size", "fig:backbone-size", "fig:curves", "fig:heatmap",
                 "tab:untestable"),
             *sorted(label for label in inner if label.startswith("sec:detail-"))]  # fmt: skip
    kinds = (
        "fig:cost",
        "fig:fronts",
        "fig:curves",
        "fig:heatmap",
        "fig:tradeoff",
        "tab:cost",
        "tab:choices",
        "tab:scores",
    )
    later = [label for label in sorted(there) for kind in kinds
             if label.startswith(f"{kind}-") and not label.endswith("-1") and label not in order]  # fmt: skip
    return tuple(dict.fromkeys([*(label for label in order if label in there | inner), *later, *last]))


def known_only(document: Document, references: dict[str, Entry]) -> Document:
    """Drops citations of works that no entry describes, so that nothing is left undefined."""

    def text(pieces: Iterable[Inline]) -> Text:
        kept: list[Inline] = []
        for piece in pieces:
            if isinstance(piece, Cite):
                keys = tuple(key for key in piece.keys if key in references)
                if not keys and kept and isinstance(kept[-1], str):
                    kept[-1] = kept[-1].rstrip()
                kept += [Cite(keys, piece.textual)] if keys else []
            else:
                kept.append(piece)
        return tuple(kept)

    def section(one: Section) -> Section:
        blocks = tuple(replace(b, text=text(b.text)) if isinstance(b, Paragraph) else
                       replace(b, caption=text(b.caption)) if isinstance(b, (Table, Figure)) else b
                       for b in one.blocks)  # fmt: skip
        return replace(one, blocks=blocks, sections=tuple(section(s) for s in one.sections))

    return replace(document, abstract=text(document.abstract), sections=tuple(section(s) for s in document.sections),
                   appendix=tuple(section(s) for s in document.appendix))  # fmt: skip

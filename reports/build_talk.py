"""Slides for a talk of fifteen minutes: what, why, how, results, critique, and what to have at hand for questions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reports.analysis.analysis import Analysis, analyse
from reports.analysis.claims import OUTCOMES, Verdict, tally
from reports.build import copy_style, output_folder, read_results, writing
from reports.drawing import figures, fronts, schematics, sweeps
from reports.drawing.style import families_in
from reports.drawing.theme import SLIDES, save
from reports.model.document import Cite, Code, Deck, Figure, Inline, Ref, Slide, Table, Text, listing
from reports.model.references import Entry
from reports.model.topics import TOPICS, Topic
from reports.model.writing import plural
from reports.render import compiling, latex, macros
from reports.render.scripts import draw_pictures
from reports.render.templating import Style, read_style, render
from reports.results import Results
from reports.sections import background, choices, closing, findings, setup, tables, verdict_tables

ROWS_PER_SLIDE = 16
CLAIMS_PER_SLIDE = 5
# What a talk of this family's own methods can go through.
METHODS_SHOWN = 4


@dataclass(frozen=True)
class Slides:
    """What was written, and lines that say so."""

    folder: Path
    pdf: Path | None
    lines: tuple[str, ...]


def build_slides(
    results: Path | str, output: Path | str | None = None, topic: str = "all", template: Path | None = None
) -> Slides:
    """Writes and compiles the slides of a results folder into `output` (by default `<results>/slides`, with the topic's
    name behind it if it is one family). Raises ResultsError as `reports.build.build_report` does."""
    root = Path(results)
    folder = output_folder(root, output, "slides" if topic == "all" else f"slides-{topic}")
    read = read_results(root)
    with writing("slides"):
        return _write(read, folder, TOPICS[topic], read_style(template))


def _write(read: Results, folder: Path, topic: Topic, style: Style) -> Slides:
    copy_style(style, folder)
    analysis = analyse(read, topic)
    references, run = analysis.references, analysis.run
    deck = compose(analysis, references, run)
    for name in ("tables", "figures", "build"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for slide in (*deck.slides, *deck.backup):
        if isinstance(slide.block, Table):
            (folder / "tables" / f"{slide.block.key}.tex").write_text(latex.tabular(slide.block), encoding="utf-8")
        elif isinstance(slide.block, Figure):
            save(slide.block, SLIDES, folder / "figures" / f"{slide.block.key}.pdf")
    latex.write_references(references, run, folder)
    (folder / "numbers.tex").write_text(macros.numbers(analysis), encoding="utf-8")
    functions = {"text": latex.text, "is_figure": lambda block: isinstance(block, Figure)}
    source = render(style, "slides.tex.jinja", {"deck": deck}, functions)
    (folder / "slides.tex").write_text(source, encoding="utf-8")
    draw_pictures(folder)
    compiled = compiling.compile_pdf(folder, "slides")
    minutes = sum(slide.minutes for slide in deck.slides)
    said = f"{len(deck.slides)} slides planned for {minutes:g} minutes, and {len(deck.backup)} for questions"
    return Slides(folder, compiled.pdf, (said, compiled.said))


def compose(analysis: Analysis, references: dict[str, Entry], run: Entry) -> Deck:
    """The deck; only works in `references` are cited."""
    results, view, topic = analysis.everything.results, analysis.results, analysis.topic
    main = [_question(results, topic), *_family(results, view, topic), _setup(view, run), *_measured(analysis),
            *_claims(analysis.verdicts, references), *_critique(view, topic), _end(analysis)]  # fmt: skip
    made = Deck(
        topic.title, f"Suite “{results.name}” on {listing([results.title('backbones', b) for b in results.backbones])}",
        results.manifest.created[:10], _timed(main), tuple(_backup(analysis)),
    )  # fmt: skip

    def known(slide: Slide) -> Slide:
        return replace(slide, points=tuple(_known(point, references) for point in slide.points))

    return replace(made, slides=tuple(map(known, made.slides)), backup=tuple(map(known, made.backup)))


def _timed(slides: list[Slide]) -> tuple[Slide, ...]:
    """Minutes to the half, so that all slides together take fifteen, the title half a minute of it."""
    planned = sum(slide.minutes for slide in slides)
    scaled = [max(0.5, round(2 * slide.minutes * 14.5 / planned) / 2) for slide in slides]
    excess = sum(scaled) - 14.5
    for i in sorted(range(len(slides)), key=lambda i: -scaled[i]):
        step = max(-0.5, min(0.5, excess))
        if step and scaled[i] - step >= 0.5:
            scaled[i] -= step
            excess -= step
    return tuple(replace(slide, minutes=m) for slide, m in zip(slides, scaled, strict=True))


def _question(results: Results, topic: Topic) -> Slide:
    question = [piece for piece in topic.question]
    return Slide(
        "The question",
        (
            ("Fine-tuning a language model trains and stores all of its parameters, once per task.",),
            ("Parameter-efficient methods keep it fixed and learn a small set instead.",),
            ("Asked here: ", *question),
        ),
        words="Why this topic? What did you expect?",
    )  # fmt: skip


def _family(results: Results, view: Results, topic: Topic) -> list[Slide]:
    if topic.family is None:
        families = [f for f in families_in({results.family_of(label) for label in results.labels}) if f != "baseline"]
        drawn = schematics.figures(families)
        points = tuple(_first(background.IDEAS[f]) for f in families if f in background.IDEAS)
        return [*(Slide("What is trained, and where", (), figure, minutes=1.5) for figure in drawn),
                Slide("Five answers", points, minutes=1.5)]  # fmt: skip
    drawn = schematics.figures([topic.family])
    made = [
        Slide("What: the idea", tuple(sentences(topic.what)), drawn[0] if drawn else None, minutes=1.5),
        Slide("Why: what is hoped for", tuple(sentences(topic.why)), words="An example of your own."),
        Slide("How: where methods differ", tuple(sentences(topic.how)), minutes=1.5),
    ]
    own = [label for label in view.labels if view.family_of(label) == topic.family]
    if own:
        described: list[Text] = []
        for label in own[:METHODS_SHOWN]:
            card = view.method_card(view.method_of(label))
            summary = card.summary.split(". ")[0].rstrip(".")
            described.append((Code(label), *background.cited(card), f": {summary}." if summary else ""))
        if len(own) > METHODS_SHOWN:
            described.append((f"and {plural(len(own) - METHODS_SHOWN, 'other')}: {listing(own[METHODS_SHOWN:])}.",))
        made.append(Slide("The methods compared", tuple(described), words="Explain one of them on the board."))
    return made


def _setup(view: Results, run: Entry) -> Slide:
    seeds = sorted({int(seed) for seed in view.cells["seed"]})
    head = ", head" if view.headed else ""
    points: tuple[Text, ...] = (
        (f"Backbone: {listing([view.title('backbones', b) for b in view.backbones])}.",),
        (f"Same data, order{head} and number of steps for every trained method; seeds "
         f"{listing([str(s) for s in seeds])}. Test data are read once.",),
        ("Every number comes from a record of the run ", Cite((run.key,)), "."),
    )  # fmt: skip
    (budget,) = setup.budgets(view)
    return Slide("How it was measured", points, budget)


def _measured(analysis: Analysis) -> list[Slide]:
    if analysis.results.scored.empty:
        return [Slide("Results", (("No cell of this suite has a score yet.",),))]
    made = []
    said = [s for paragraph in findings.scores(analysis) for s in sentences(paragraph.text)]
    for table in tables.scores(analysis)[:1]:
        made.append(Slide("Scores", tuple(said[:2]), _short(table)))
    tested = [s for paragraph in findings.differences(analysis) for s in sentences(_without_refs(paragraph.text))]
    for figure in figures.tradeoff(analysis)[:1]:
        front = [s for paragraph in findings.tradeoff(analysis) for s in sentences(paragraph.text)]
        made.append(Slide("Score against trained parameters", tuple(front[-1:]), figure, minutes=1.5))
    for figure in fronts.fronts(analysis)[:1]:
        made.append(Slide("Parameters are one cost of several", _told(figure), figure, minutes=1.5))
    if tested:
        made.append(
            Slide("Is a difference a difference?", tuple(tested[:4]), words="Which gap would matter in practice?")
        )
    return made


def _claims(verdicts: Sequence[Verdict], references: dict[str, Entry]) -> list[Slide]:
    """Those that could be decided come first."""
    if not verdicts:
        return []
    ranked = sorted(verdicts, key=lambda v: OUTCOMES.index(v.verdict))
    (table,) = verdict_tables.claims(ranked[:CLAIMS_PER_SLIDE], references, brief=True)
    said = listing([f"{n} {o}" for o, n in tally(verdicts).items()])
    return [Slide("What the papers claim", ((f"Of {plural(len(verdicts), 'claim')}: {said}.",),), table, minutes=1.5)]


def _critique(view: Results, topic: Topic) -> list[Slide]:
    limits = []
    for paragraph in findings.limitations(view):
        if paragraph.heading in ("Seeds.", "Scale.", "Tasks and budget.", "Test sets.", "Missing cells.", "Timing."):
            said = sentences(_without_refs(paragraph.text))
            # A heading and a bare number are no doubt yet.
            limits.append(tuple(piece for s in said[: 2 if len(str(said[0])) < 80 else 1] for piece in (*s, " ")))
    doubts = tuple(topic.doubts)
    made = [Slide("What to doubt in the papers", tuple(_first(d) for d in doubts), minutes=1.5,
                  words="Your own strongest objection.")] if doubts else []  # fmt: skip
    return [*made, Slide("What to doubt in this run", tuple(limits))]


def _end(analysis: Analysis) -> Slide:
    said = closing.conclusion(analysis).blocks[0]
    points = tuple(sentences(said.text))[:5]  # type: ignore[union-attr]
    return Slide("What can be said, and what cannot", points, words="One question for the discussion.")


def _backup(analysis: Analysis) -> Iterable[Slide]:
    for table in tables.differences(analysis)[:1]:
        yield Slide("Differences to full fine-tuning", _told(table), _short(table))
    for figure in figures.cost(analysis)[:1]:
        yield Slide("Memory, throughput, latency", _told(figure), figure)
    for table in choices.decisions(analysis)[:1]:
        yield Slide("Which configuration for which constraint", _told(table), table)
    for figure in [*figures.curves(analysis)[:1], *map(sweeps.sweep_figure, analysis.sweeps)]:
        title = "Learning curves" if figure.key.startswith("curves") else "What the suite varies"
        yield Slide(title, _told(figure), figure)
    for table in setup.hyperparameters(analysis.results)[:1]:
        yield Slide("Hyperparameters", (), _short(table))


def _told(block: Table | Figure) -> tuple[Text, ...]:
    """What the caption says first: of which task and backbone, and in which unit."""
    return (_first(_without_refs(block.caption)),)


def _short(table: Table) -> Table:
    """As many rows as a slide holds, and a line that says how many are left out."""
    if len(table.rows) <= ROWS_PER_SLIDE:
        return table
    left = len(table.rows) - ROWS_PER_SLIDE
    more = replace(
        table.rows[0], cells=(f"and {left} more in the report", *(("",) * (len(table.columns) - 1))), gap=True
    )
    return replace(table, rows=(*table.rows[:ROWS_PER_SLIDE], more))


def sentences(text: Text) -> list[Text]:
    """The sentences of a running text: a full stop, a space and a capital part two."""
    found: list[list[Inline]] = [[]]
    for piece in text:
        if not isinstance(piece, str):
            found[-1].append(piece)
            continue
        parts = re.split(r"(?<=[.!?]) (?=[A-Z“(])|(?<=[.!?]) $", piece)
        for i, part in enumerate(parts):
            if i:
                found.append([])
            if part:
                found[-1].append(part)
    return [tuple(sentence) for sentence in found if any(not isinstance(p, str) or p.strip() for p in sentence)]


def _first(text: Text) -> Text:
    found = sentences(text)
    return found[0] if found else ()


def _without_refs(text: Text) -> Text:
    """Slides have no numbered tables: what refers to one goes, brackets included."""
    kept: list[Inline] = []
    for i, piece in enumerate(text):
        if isinstance(piece, Ref):
            continue
        if isinstance(piece, str):
            if i + 1 < len(text) and isinstance(text[i + 1], Ref):
                piece = re.sub(r" ?\($", "", piece)
            if i and isinstance(text[i - 1], Ref):
                piece = re.sub(r"^\)", "", piece)
        kept.append(piece)
    return tuple(kept)


def _known(text: Text, references: dict[str, Entry]) -> Text:
    kept: list[Inline] = []
    for piece in text:
        if isinstance(piece, Cite):
            keys = tuple(key for key in piece.keys if key in references)
            kept += [replace(piece, keys=keys)] if keys else []
        else:
            kept.append(piece)
    return tuple(kept)

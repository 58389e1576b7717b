"""A new section, topic or quantity is one file or one entry; and what a report computes, it computes once."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic_results as synthetic

from records import vocabulary
from records.cards import Claim
from records.store import ResultsError
from reports import sections
from reports.analysis import claims, contrasts
from reports.analysis.analysis import analyse
from reports.build import build_report
from reports.build_talk import build_slides
from reports.model.document import Section
from reports.model.prose import Prose, plain
from reports.model.resources import TEMPLATES
from reports.model.topics import chosen, names, topics
from reports.render import compiling, page_data
from reports.results import Results, read
from reports.sections import report, talk

WEATHER = """
from reports.model.document import Paragraph, Part, Section, Slide
from reports.model.prose import say

PLACE = "{place}"
ORDER = 15


def part(analysis, prose):
    said = say("It rained on {{labels}} methods.", labels=len(analysis.results.labels))
    return Part(Section("weather", "The weather", (Paragraph(said),)), (Slide("Rain", (said,), order=45),))
"""
MERGING = """---
title: Model Merging
family: merging
---

# Question

can what was learnt apart be added up?

# Idea

Merging adds up what was trained apart, $\\theta + \\sum_i \\phi_i$.

# What

Merging takes several changes of one backbone [@ansell2022ltsft].
It adds them up.

# Doubts

Nobody knows when it works.
It is often shown on tasks that are alike.
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = synthetic.grid(("full", "lora"), ("rotten_tomatoes",), 5)
    folder = tmp_path_factory.mktemp("subjects") / "results"
    synthetic.write(folder, cells, [synthetic.record(cell) for cell in cells])
    claim = Claim("LoRA scores at least as high.", "hu2022lora", "score", "full", "at least")
    synthetic.with_claims(folder, {"lora": [synthetic.to_plain(claim)]})
    return folder


@pytest.fixture(scope="module")
def results(root: Path) -> Results:
    return read(root)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A user's template folder, with prose to be."""
    (tmp_path / "look/prose/topics").mkdir(parents=True)
    return tmp_path / "look"


@pytest.fixture
def merging(tmp_path: Path) -> Results:
    """A family that we do not know takes part."""
    cells = synthetic.grid(("full", "lora"), ("rotten_tomatoes",), 2)
    cards = {"methods": synthetic.method_cards(), "tasks": synthetic.TASKS, "backbones": synthetic.BACKBONES}
    cards["methods"]["lora"]["family"] = "merging"
    return read(synthetic.write(tmp_path / "merging", cells, map(synthetic.record, cells), cards=cards))


def titles(found: tuple[Section, ...]) -> list[str]:
    return [section.title for section in found]


@pytest.mark.parametrize("place", sections.PLACES)
def test_a_new_subject_is_one_file(tmp_path: Path, results: Results, monkeypatch: pytest.MonkeyPatch, place: str):
    (tmp_path / "rain.py").write_text(WEATHER.format(place=place))
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "reports.sections.rain", raising=False)
    importlib.invalidate_caches()
    analysis = analyse(results)
    made = report.compose(analysis)
    within = {
        "before": made.sections[:4],
        "results": next(section for section in made.sections if section.key == "results").sections,
        "after": made.sections[5:],
        "appendix": made.appendix,
    }[place]
    assert "The weather" in titles(within)
    if place == "results":  # by their orders
        assert titles(within)[:3] == ["Scores", "The weather", "Differences to full fine-tuning"]
    slides = [slide.title for slide in talk.compose(analysis).slides]
    assert slides.index("Scores") + 1 == slides.index("Rain")


def test_a_new_topic_is_one_file(template: Path, merging: Results):
    (template / "prose/topics/merging.md").write_text(MERGING)
    assert names(template) == ["all", "adapters", "hypernetworks", "lowrank", "merging", "prompts", "sparse"]
    assert list(topics(template))[:2] == ["all", "sparse"] and list(topics(template))[-1] == "merging"
    prose = Prose(template)
    analysis = analyse(merging, chosen("merging", template))
    made = report.compose(analysis, prose)
    assert made.title == "Model Merging: A Critical Look under One Budget"
    said = " ".join(plain(text) for text in made.texts)
    assert "Its question is narrow: can what was learnt apart be added up?" in said
    assert "It adds them up." in said
    assert "Nobody knows when it works. It is often shown" in said
    slides = {slide.title: [plain(point) for point in slide.points] for slide in talk.compose(analysis, prose).slides}
    assert slides["What: the idea"] == [
        "Merging takes several changes of one backbone ansell2022ltsft.",
        "It adds them up.",
    ]
    assert slides["What to doubt in the papers"] == ["Nobody knows when it works."]
    everything = " ".join(plain(text) for text in report.compose(analyse(merging), prose).texts)
    assert r"Merging adds up what was trained apart, \theta + \sum_i \phi_i." in everything


def test_the_topics_are_the_files_that_there_are():
    assert set(topics()) == {path.stem for path in (TEMPLATES / "prose/topics").glob("*.md")}
    families = [topic.family for topic in topics().values()]
    assert families[0] is None
    assert families[1:] == [family for family in vocabulary.FAMILIES if family != "baseline"]


def test_a_new_quantity_is_one_entry(results: Results, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of a figure that records hold: here one that neither page nor claims knew."""
    title = "Size of the head"
    quantity = vocabulary.Quantity("head_parameters", title, title, "count", "counted", profiled=False, claimable=True)

    def claim() -> Claim:
        return Claim("Heads are alike.", "hu2022lora", "head_parameters", "full", "equal")

    assert "head_parameters" not in [measure["key"] for measure in page_data.overview(results)["measures"]]
    with pytest.raises(ValueError, match="unknown measure 'head_parameters'"):
        claim()
    monkeypatch.setitem(vocabulary.QUANTITIES, "head_parameters", quantity)
    shown = {measure["key"]: measure for measure in page_data.overview(results)["measures"]}
    assert shown["head_parameters"]["title"] == title
    copied = synthetic.write(tmp_path / "r", results.manifest.cells.values(), results.records.values())
    synthetic.with_claims(copied, {"lora": [synthetic.to_plain(claim())]})
    [verdict] = analyse(read(copied)).verdicts
    assert (verdict.verdict, verdict.effect) == ("supported", 1.0)


def test_what_is_computed_is_computed_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a build of document, page and macros, and in one of slides; of all topics alike."""
    calls: Counter[str] = Counter()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            calls[function.__name__] += 1
            return function(*arguments, **named)

        return call

    monkeypatch.setattr(claims, "assess", counted(claims.assess))
    monkeypatch.setattr(contrasts, "compare_with_reference", counted(contrasts.compare_with_reference))
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    build_report(root, tmp_path / "report", "lowrank")
    assert calls == {"assess": 1, "compare_with_reference": 1}
    build_slides(root, tmp_path / "slides", "lowrank")
    assert calls == {"assess": 2, "compare_with_reference": 2}


def test_own_prose_takes_the_place_of_ours(root: Path, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    (template / "prose/introduction.md").write_text("# Slide\n\nWarum? {question}\n")
    (template / "prose/yourwords.md").write_text("# Slide: end\n\nIhre *eigene* Frage.\n")
    source = (build_slides(root, tmp_path / "out", "all", template).folder / "slides.tex").read_text()
    assert r"\item Warum? what do the methods of five families score" in source
    assert r"\yourwords{Ihre eigene Frage.}" in source
    assert "Why this topic?" not in source
    made = report.compose(analyse(read(root)), Prose(template))
    assert titles(made.sections) == ["Background", "Setup", "Results", "Limitations", "Conclusion"]
    assert "Reading the numbers" not in titles(made.sections[2].sections)


HOLE = "# Slide\n\nOne.\nOn {tasks}: {question}\n"
TYPO = "---\ntitle: Niedriger Rang\n---\n# Whta\n\nOne.\n"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("introduction", HOLE, "introduction.md:4: unknown hole {tasks}; known: {question}"),
        ("introduction", "# Introductoin\n\nOne.\n", "unknown heading “introductoin”; did you mean 'introduction'?"),
        ("topics/lowrank", "# What\n\nOne.\n", "lowrank.md: a topic needs a title"),
        ("topics/lowrank", TYPO, "unknown heading “whta”; did you mean 'what'?"),
        ("protocol", "\udcff", "protocol.md: is not UTF-8 text"),
    ],
)
def test_prose_that_cannot_be_used_is_told_in_one_line(
    root: Path, template: Path, tmp_path: Path, name: str, text: str, line: str
):
    path = template / "prose" / f"{name}.md"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ResultsError) as error:
        build_slides(root, tmp_path / "out", "lowrank", template)
    assert line in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out/slides.tex").exists()


def test_a_topic_that_is_none_is_told_in_one_line(root: Path, tmp_path: Path):
    for build in (build_report, build_slides):
        with pytest.raises(ResultsError, match=r"^no topic 'lora'; there are all, adapters, .*sparse"):
            build(root, tmp_path / "out", "lora")
    assert not (tmp_path / "out").exists()


def test_a_run_without_scores_has_a_report_and_a_talk(tmp_path: Path):
    cells = synthetic.grid(("full", "lora"), ("rotten_tomatoes",), 2)
    analysis = analyse(read(synthetic.write(tmp_path / "r", cells, [])))
    made = report.compose(analysis)
    [results] = [section for section in made.sections if section.key == "results"]
    assert "No cell of this suite has a score yet" in plain(results.blocks[0].text)  # type: ignore[union-attr]
    assert [table.key for table in made.tables if table.key == "unfinished"] == ["unfinished"]
    [slide] = [slide for slide in talk.compose(analysis).slides if slide.title == "Results"]
    assert [plain(point) for point in slide.points] == ["No cell of this suite has a score yet."]


def test_slides_hold_no_reference_to_a_numbered_table(results: Results):
    """And fill a quarter of an hour with the title."""
    deck = talk.compose(analyse(results))
    for slide in (*deck.slides, *deck.backup):
        assert "tab:" not in " ".join(plain(point) for point in slide.points), slide.title
    assert sum(slide.minutes for slide in deck.slides) == 14.5

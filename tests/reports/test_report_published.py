"""The report of what others published: whose it is, what cannot be known, and nothing that was not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.importing import import_peft
from reports.analysis.analysis import Analysis, analyse
from reports.model.document import Document, Figure, Paragraph, Table
from reports.model.prose import plain
from reports.render import html, macros
from reports.results import read
from reports.sections import report, talk
from tests.records.formats.peft_files import images, metamath, write

RIGHT = {"lora/tiny-1B-rank8": 700, "ia3/tiny-1B-default": 500, "oft/tiny-1B-default": 690, "full/tiny-1B-all": 710}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("published")
    made = []
    for name, right in RIGHT.items():
        kind = name.partition("/")[0].upper()
        config = None if kind == "FULL" else {"peft_type": kind, "r": 8}
        made.append(metamath(name, right, run_info__peft_config=config))
    pictures = [images("oft/draw-4B-a", 0.7), images("oft/draw-4B-b", 0.6, train_info__metrics__1__drift=0.5)]
    import_peft(write(root / "texts-files", *made), root / "texts")
    import_peft(write(root / "images-files", *pictures), root / "images")
    return {"texts": root / "texts", "images": root / "images"}


@pytest.fixture(scope="module")
def texts(folders) -> Analysis:
    return analyse(read(folders["texts"]))


@pytest.fixture(scope="module")
def pictures(folders) -> Analysis:
    return analyse(read(folders["images"]))


OF_OURS = (
    "under One Budget",
    "AdamW",
    "see the same training examples",
    "gives each method the same data",
    "Latency is that of",
)


def words(document: Document) -> str:
    said = [document.title, plain(document.abstract)]
    for block in document.walk():
        said += [plain(block.text)] if isinstance(block, Paragraph) else []
        said += [plain(block.caption)] if isinstance(block, Table | Figure) else []
    return " ".join(said)


def table(document: Document, key: str) -> Table:
    return next(each for each in document.tables if each.key == key)


def test_it_says_whose_the_numbers_are_and_what_cannot_be_known(texts):
    said = words(report.compose(texts))
    for sentence in (
        "Four Published Configurations",
        "those of four result files of huggingface/peft, method_comparison, MetaMathQA, run on 2026-03-01 on Card X",
        "peft 0.19.1",
        f"commit {'b' * 12}",
        "how scores vary over seeds cannot be known",
        "No answers were published",
        "4 of 4 configurations have a learning rate of 1e-4",
    ):
        assert sentence in said, sentence


def test_it_says_nothing_of_a_run_of_ours(texts, pictures):
    for analysis in (texts, pictures):
        said = words(report.compose(analysis))
        for sentence in OF_OURS:
            assert sentence not in said, sentence


def test_scores_have_intervals_and_words(texts):
    shares = table(report.compose(texts), "shares")
    rows = {row.cells[0]: [getattr(cell, "text", cell) for cell in row.cells[1:]] for row in shares.rows}
    assert list(rows) == ["full/all", "lora/rank8", "oft/default", "ia3/default"]
    # 500 of 1,319: Wilson's interval, by hand.
    assert rows["ia3/default"] == ["37.9", "35.3–40.6", "0", "3", "0", "0"]
    assert rows["full/all"][2:] == ["1", "0", "0", "2"]


def test_full_fine_tuning_is_the_reference(texts):
    found = {contrast.label: contrast.decision.word for contrast in texts.contrasts}
    assert found == {"ia3/default": "worse", "lora/rank8": "undecided", "oft/default": "undecided"}


def test_ranks_have_confidence_sets(texts):
    [found] = texts.ranked
    assert (found.sets["ia3/default"].low, found.sets["ia3/default"].high) == (4, 4)
    assert found.sets["full/all"].low == 1 and found.population == "examples"


def test_fronts_are_over_what_was_measured(texts, pictures):
    for analysis in (texts, pictures):
        [front] = analysis.fronts
        assert front.costs == ("peak_memory_bytes", "step_seconds", "stored_bytes")


def test_every_figure_names_every_configuration(texts, pictures):
    from reports.drawing.theme import PAPER

    for analysis in (texts, pictures):
        for figure in report.compose(analysis).figures:
            if figure.key == "schematic":  # of families
                continue
            drawn = figure.draw(PAPER)
            said = [text.get_text() for axes in drawn.axes for text in (*axes.texts, *axes.get_yticklabels())]
            assert set(analysis.results.labels) <= set(said), figure.key


def test_tables_of_cost_have_only_columns_that_were_measured(texts, pictures):
    for analysis, rate in ((texts, True), (pictures, False)):
        document = report.compose(analysis)
        heads = [column.title for column in table(document, "cost").columns]
        assert ("tokens/s" in heads) is rate
        assert not {"backbone", "% of backbone", "merged"} & set(heads)
        assert "memory" not in [each.key for each in document.tables]


def test_similarity_has_no_interval_and_drift_its_own_sign(pictures):
    document = report.compose(pictures)
    assert not pictures.shares and "no difference is tested" in words(document)
    drift = table(document, "secondary-1")
    assert [(row.cells[0], row.cells[1].text) for row in drift.rows] == [("oft/a", "0.200"), ("oft/b", "0.500")]
    assert "less is better" in plain(drift.caption)


def test_what_was_forgotten_is_told(texts):
    [row, *_] = table(report.compose(texts), "secondary-1").rows
    assert row.cells[1].text == "0.250"


def test_the_talk_says_whose_they_are(texts):
    slide = next(slide for slide in talk.compose(texts).slides if slide.title == "Whose numbers these are")
    assert "nothing was run here" in plain(slide.points[0])


def test_the_page_and_the_macros_are_written(texts, pictures, tmp_path):
    (tmp_path / "figures").mkdir()
    for analysis in (texts, pictures):
        document = report.compose(analysis)
        for figure in document.figures:
            (tmp_path / "figures" / f"{figure.key}.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
        page = html.page(report.for_page(document), analysis, analysis.references, tmp_path)
        assert "Where the Data Come from" in page and "published.json" in page
        assert "benchdefine" in macros.numbers(analysis)


def test_one_experiment_alone_is_reported(tmp_path):
    import_peft(write(tmp_path / "files", metamath()), tmp_path / "results")
    document = report.compose(analyse(read(tmp_path / "results")))
    assert "One Published Configuration" in document.title
    for figure in document.figures:
        assert figure.alt


def test_a_topic_shows_its_family(folders):
    from reports.model.topics import chosen

    document = report.compose(analyse(read(folders["texts"]), chosen("lowrank")))
    assert "Where the Data Come from" in [section.title for section in document.sections]


def test_what_was_merged_though_it_differs_is_said(tmp_path):
    from bench.merging import merge
    from tests.bench.test_merging import write as write_run

    a, b = write_run(tmp_path / "a", [0]), write_run(tmp_path / "b", [1], precision="no")
    merge([a, b], tmp_path / "c", allow=["precision"])
    document = report.compose(analyse(read(tmp_path / "c")))
    assert "the precision of the arithmetic: bf16 in" in words(document)
    assert "merged from several folders although these differ" in plain(document.abstract)
    slides = [plain(point) for slide in talk.compose(analyse(read(tmp_path / "c"))).slides for point in slide.points]
    assert any("merged although they differ" in point for point in slides)

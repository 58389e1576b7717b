"""Scores between the backbone and merged models, in the report: from points that are written down here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import synthetic_results as synthetic

from records.cards import Metric
from records.record import Record, Rewound
from reports.analysis.analysis import Analysis, analyse
from reports.drawing import rewinding as drawing
from reports.drawing.theme import PAPER
from reports.model.document import Cite, Part, Table
from reports.model.prose import OURS, join, plain
from reports.render import html
from reports.results import read
from reports.sections import report, rewinding

TASK = "rotten_tomatoes"
ALPHAS = (0.0, 0.5, 0.75, 1.0, 1.25)
BACKBONE_LOSS = 0.75
# By method, of three seeds. Over what was trained LoRA gains 2, 4 and 3 points at α = 0.75: 3 ± 1.
SCORES = {
    "full": [(0.5, 0.6, 0.7, 0.8, 0.82)] * 3,
    "bitfit": [(0.6,) * 5] * 3,
    "lora": [(0.5, 0.70, 0.82, 0.8, 0.78), (0.5, 0.72, 0.84, 0.8, 0.76), (0.5, 0.71, 0.83, 0.8, 0.77)],
}
# Nats per byte that were forgotten at α = 1; at α it is α² of that.
FORGOTTEN = {"full": 0.2, "bitfit": -0.1, "lora": 0.4}


def points(scores: Sequence[float], forgotten: float | None = None, metric: str = "accuracy") -> list[Rewound]:
    """A score that is None is one of which the loss was no number."""
    return [
        Rewound(
            alpha=alpha,
            validation={} if score is None else {metric: score},
            general_loss=None if forgotten is None else BACKBONE_LOSS + forgotten * alpha**2,
        )
        for alpha, score in zip(ALPHAS, scores, strict=True)
    ]


def write(root: Path, scores: Mapping[str, Sequence], forgets: bool = False, metric: str = "accuracy", **plain) -> Path:
    """Cells of one task; a label is a method, or one and its variant after an @."""
    cells = [
        synthetic.cell(label.partition("@")[0], TASK, seed, label=label, train_examples=2000 + 32 * i)
        for i, (label, of) in enumerate(scores.items())
        for seed in range(len(of))
    ]
    records = []
    for cell in cells:
        lost = FORGOTTEN[cell.method] if forgets else None
        changed: dict = {"rewound": points(scores[cell.label][cell.seed], lost, metric)}
        if forgets:
            changed["forgetting"] = {"before": BACKBONE_LOSS, "after": BACKBONE_LOSS + FORGOTTEN[cell.method]}
        record = synthetic.record(cell).model_copy(update=changed)
        records.append(record if metric == "accuracy" else record.model_copy(update={"test": {metric: 2.0}}))
    suite = synthetic.suite(cells) | ({"forgetting": "sotu"} if forgets else {})
    return synthetic.write(root, cells, records, suite=suite, **plain)


def analysed(root: Path, scores: Mapping[str, Sequence] = SCORES, **options) -> Analysis:
    return analyse(read(write(root / "results", scores, **options)))


def said(part: Part) -> str:
    assert part.section is not None
    return plain(join([block.text for block in part.section.blocks if hasattr(block, "text")]))


def rows_of(table: Table) -> dict[str, list[str]]:
    return {str(row.cells[0]): ["–" if cell is None else cell.text for cell in row.cells[2:]] for row in table.rows}


def test_the_best_share_is_told_with_its_change_in_pairs_of_seeds(tmp_path: Path):
    (found,) = analysed(tmp_path).rewinding
    best = {path.label: path.best for path in found.paths}
    assert {label: point.alpha for label, point in best.items()} == {"full": 1.25, "bitfit": 1.0, "lora": 0.75}
    assert best["lora"].change == pytest.approx((0.03, np.std([2, 4, 3], ddof=1) / 100, 3))
    assert best["full"].change.mean == pytest.approx(0.02)
    assert [path.label for path in found.overshot] == ["lora"]
    assert [path.label for path in found.fell_short] == ["full"]


def test_what_forgetting_is_bought_back_for_is_the_median_over_those_that_forgot(tmp_path: Path):
    (found,) = analysed(tmp_path, forgets=True).rewinding
    three_quarters, half = found.bargains
    # BitFit, which forgot nothing, has no part in it: LoRA gains 3 points and full fine-tuning loses 10.
    assert (three_quarters.alpha, three_quarters.paths) == (0.75, 2)
    assert three_quarters.change == pytest.approx((0.03 - 0.10) / 2)
    assert three_quarters.left == pytest.approx(0.75**2)
    assert half.change == pytest.approx((-0.09 - 0.20) / 2)
    assert half.left == pytest.approx(0.25)


def test_where_a_seed_diverged_there_is_no_mean(tmp_path: Path):
    """Else the mean would be that of the seeds that did well."""
    diverged = [(0.5, 0.7, 0.8, 0.8, 0.9), (0.5, 0.7, 0.8, 0.8, None)]
    (found,) = analysed(tmp_path, {"lora": diverged}).rewinding
    (path,) = found.paths
    assert [point.alpha for point in path.points] == [0.0, 0.5, 0.75, 1.0]
    assert path.best.alpha == 1.0


def test_less_is_better_of_an_error(tmp_path: Path):
    errors = {"name": TASK, "metrics": ["rmse"], "title": "T", "kind": "regression", "summary": "", "split": "",
              "licence": "", "citation": "", "bibtex": "", "labels": [],
              "scales": {"rmse": synthetic.to_plain(Metric("rmse", higher_is_better=False, high=None))}}  # fmt: skip
    cards = {"methods": synthetic.method_cards(), "tasks": {TASK: errors}, "backbones": synthetic.BACKBONES}
    scores = {"lora": [(4.0, 3.0, 1.5, 2.0, 2.5)]}
    analysis = analysed(tmp_path, scores, metric="rmse", cards=cards)
    (table,) = rewinding.tables(analysis)
    assert rows_of(table) == {"lora": ["2.00", "0.75", "−0.50", "−0.50", "+1.00"]}
    assert "lora on rotten_tomatoes at α = 0.75: −0.50." in said(rewinding.part(analysis, OURS))
    assert table.data.set_index("alpha")["change"].to_dict() == {0.0: 2.0, 0.5: 1.0, 0.75: -0.5, 1.0: 0.0, 1.25: 0.5}


def test_the_table_has_what_is_said_and_the_csv_file_every_point(tmp_path: Path):
    (table,) = rewinding.tables(analysed(tmp_path, forgets=True))
    assert rows_of(table) == {
        "full": ["80.0", "0.200", "1.25", "+2.0", "−10.0", "0.113", "−20.0", "0.050"],
        "bitfit": ["60.0", "−0.100", "1", "0.0", "0.0", "−0.056", "0.0", "−0.025"],
        "lora": ["80.0", "0.400", "0.75", "+3.0", "+3.0", "0.225", "−9.0", "0.100"],
    }
    lora = table.data[table.data["label"] == "lora"].set_index("alpha")
    assert lora["mean"].to_dict() == pytest.approx({0.0: 0.5, 0.5: 0.71, 0.75: 0.83, 1.0: 0.8, 1.25: 0.77})
    assert lora["forgotten"].to_dict() == pytest.approx({alpha: 0.4 * alpha**2 for alpha in ALPHAS})
    assert lora.index[lora["best"]].tolist() == [0.75]


def test_what_is_said_names_its_limits(tmp_path: Path):
    part = rewinding.part(analysed(tmp_path, forgets=True), OURS)
    text = said(part)
    assert "of three pairs of method and task" in text
    assert "below 1 (training overshoots) in one, above 1 (it falls short) in one, and at 1 in one" in text
    assert "lora on rotten_tomatoes at α = 0.75: +3.0 ± 1.0 points over three seeds" in text
    assert "α = 0.75 leaves 56 % of what was forgotten and changes the score by −3.5 points" in text
    assert "validation split, which has chosen the checkpoint already" in text and "optimistic" in text
    (slide,) = part.backup
    assert "optimistic" in plain(join(slide.points))
    alone = said(rewinding.part(analysed(tmp_path / "alone", {"lora": SCORES["lora"][:1]}), OURS))
    assert "with one seed: nothing here tells a change from noise" in alone


@pytest.mark.parametrize("forgets", [False, True])
def test_the_figure_shows_the_means_and_beside_them_what_was_forgotten(tmp_path: Path, forgets: bool):
    (figure,) = drawing.figures(analysed(tmp_path, forgets=forgets))
    with PAPER.applied():
        way, *trade = figure.draw(PAPER).axes
    lines = [line.get_xydata().tolist() for line in way.lines]
    lora = [[alpha, score] for alpha, score in zip(ALPHAS, (50, 71, 83, 80, 77), strict=True)]
    assert any(np.shape(line) == np.shape(lora) and np.allclose(line, lora) for line in lines)
    assert {text.get_text() for text in way.texts} == {"full", "bitfit", "lora"}
    assert len(trade) == forgets
    for axes in trade:
        bought = [[0.4 * alpha**2, score] for alpha, score in lora]
        assert any(
            np.shape(line.get_xydata()) == np.shape(bought) and np.allclose(line.get_xydata(), bought)
            for line in axes.lines
        )


def test_many_configurations_stand_by_family_and_on_pages_that_hold_them(tmp_path: Path):
    many = {f"lora@{i}": SCORES["lora"][:1] for i in range(40)} | {"bitfit": SCORES["bitfit"][:1]}
    figures = drawing.figures(analysed(tmp_path, many))
    heights = []
    for figure in figures:
        with PAPER.applied():
            made = figure.draw(PAPER)
        heights.append(made.get_figheight())
        titles = [axes.get_title(loc="left") for axes in made.axes]
        assert titles == ["rotten_tomatoes (accuracy): sparse", "rotten_tomatoes (accuracy): low-rank"]
    assert max(heights) < 9


def test_it_stands_in_the_document_with_its_sources_and_on_the_page(tmp_path: Path):
    analysis = analysed(tmp_path, forgets=True)
    document = report.compose(analysis)
    assert "rewinding" in [table.key for table in document.tables]
    cited = {key for text in document.texts for piece in text if isinstance(piece, Cite) for key in piece.keys}
    assert {"wortsman2022robust", "huang2026peftarena"} <= cited
    shown = report.for_page(document)
    (tmp_path / "figures").mkdir()
    for figure in shown.figures:
        (tmp_path / "figures" / f"{figure.key}.svg").write_text("<svg></svg>")
    page = html.page(shown, analysis, analysis.references, tmp_path)
    for name in ("tab-rewinding", "fig-rewinding"):
        assert f'id="{name}"' in page


def test_nothing_is_said_where_no_cell_was_rewound(usual: Path):
    assert rewinding.part(analyse(read(usual)), OURS) == Part()


def test_a_record_without_the_trained_model_is_passed_over(tmp_path: Path):
    """There is nothing that its points could be compared with."""
    cells = synthetic.grid(["lora"], [TASK], seeds=1)
    record: Record = synthetic.record(cells[0]).model_copy(update={"rewound": points(SCORES["lora"][0])[:3]})
    assert analyse(read(synthetic.write(tmp_path / "results", cells, [record]))).rewinding == []

"""What reports say of ranks and fronts, with predictions and without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.analysis.analysis import Analysis, analyse
from reports.drawing import fronts, rank_sets, tradeoff
from reports.drawing.style import look
from reports.drawing.theme import PAPER
from reports.model.document import Figure, Number, Paragraph, Table
from reports.model.prose import OURS, join, plain
from reports.model.writing import ordinals
from reports.render import macros
from reports.results import read
from reports.sections import choices, costs, front_tables, standings
from reports.sections import rank_sets as section
from reports.sections import tradeoff as tradeoff_section
from tests.reports import synthetic_predictions as made_up
from tests.reports import synthetic_results as synthetic

BACKBONE = synthetic.BACKBONE


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Three seeds, no predictions."""
    return analyse(read(synthetic.write_usual(tmp_path_factory.mktemp("without") / "results")))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Six seeds, predictions of all but bitfit."""
    root = synthetic.write_usual(tmp_path_factory.mktemp("kept") / "results", seeds=6)
    return analyse(read(made_up.keep(root, without=("bitfit",))))


def cells_of(table: Table) -> dict[str, tuple]:
    return {str(row.cells[0]): row.cells[1:] for row in table.rows}


def test_with_predictions_it_says_who_comes_first_and_without_why_it_does_not(kept: Analysis, without: Analysis):
    [found] = kept.ranked
    assert found.population == "seeds and examples"
    assert "bitfit" not in found.sets
    said = plain(join(section.sentences(kept, found)))
    first = min(found.sets, key=lambda label: found.sets[label].rank)
    assert f"{first} comes first of {len(found.sets)} configurations" in said
    assert "bitfit" in said.partition("take no part")[0].rpartition("Without")[2]
    bare = section.part(without, OURS).section
    assert [plain(paragraph.text) for paragraph in bare.blocks] == [
        "Ranks have no confidence sets here: that takes, of two configurations on every task, the outcomes of 50 test"
        " examples, or 5 seeds. Which come before which is therefore not said."
    ]
    assert section.tables(without) == rank_sets.figures(without) == front_tables.by_task(without) == []


def test_the_table_has_ranges_and_its_csv_every_task(kept: Analysis):
    [found], [table] = kept.ranked, section.tables(kept)
    shown = cells_of(table)
    assert shown.keys() == found.sets.keys()
    for label, (mean, rank, between) in shown.items():
        of = found.sets[label]
        scores = [r.test["accuracy"] for r in kept.results.records.values() if r.cell.label == label and r.test]
        assert isinstance(mean, Number)
        assert min(scores) <= mean.value <= max(scores)
        assert int(rank.text) == of.rank
        assert between.text == (f"{of.low}–{of.high}" if of.low < of.high else f"{of.low}")
    assert set(table.data["tasks"]) == {"rotten_tomatoes bbc_news", "rotten_tomatoes", "bbc_news"}
    assert (table.data["low"] <= table.data["rank"]).all() and (table.data["rank"] <= table.data["high"]).all()


def test_the_figure_has_a_line_from_the_best_to_the_worst_rank(kept: Analysis):
    [found], [figure] = kept.ranked, rank_sets.figures(kept)
    with PAPER.applied():
        [axes] = figure.draw(PAPER).axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    lines = {int(line.get_ydata()[0]): tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2}
    assert {names[y]: ends for y, ends in lines.items()} == {
        label: (of.low, of.high) for label, of in found.sets.items()
    }
    assert "other seeds and other examples" in "".join(map(str, figure.caption))


def test_markers_tell_three_states_without_colour(kept: Analysis, without: Analysis):
    points = [p for p in kept.tradeoff[BACKBONE] if p.task == "rotten_tomatoes"]
    states = {point.state for point in points}
    assert states == {"on the front", "undecided", "dominated", None}
    with PAPER.applied():
        drawing = tradeoff.figures(kept)[0].draw(PAPER)
        bare = tradeoff.figures(without)[0].draw(PAPER)
    legend = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert {"on the front", "undecided", "dominated"} <= set(legend)
    assert not {"undecided", "dominated"} & {text.get_text() for text in bare.legends[0].get_texts()}
    shapes = {look(point.family).marker for point in points}
    drawn = [line for line in drawing.axes[0].lines if line.get_marker() in shapes]  # not the caps of error bars
    hollow = [line for line in drawn if line.get_markerfacecolor() == "white"]
    faint = [line for line in drawn if line.get_markersize() < 4 and line.get_alpha() < 0.5]
    count = [point.state for point in points].count
    assert (len(hollow), len(faint)) == (count("undecided"), count("dominated"))
    assert "hollow: undecided" in "".join(map(str, tradeoff.figures(kept)[0].caption))


def test_tables_and_figure_of_costs_have_the_states(kept: Analysis):
    [table], [front] = front_tables.by_cost(kept), kept.fronts
    shown = cells_of(table)
    assert "bitfit" not in shown
    by = table.data.set_index(["cost", "label"])["state"]
    for placed in front.placed:
        for cost, state in placed.states.items():
            assert by[cost, placed.label] == state
            assert state in shown[placed.label]
    [tasks] = front_tables.by_task(kept)
    for point in kept.tradeoff[BACKBONE]:
        column = [column.title for column in tasks.columns].index(point.task) - 1
        assert cells_of(tasks).get(point.label, (None, None))[column] == point.state
    assert "small and faint: dominated" in "".join(map(str, fronts.figures(kept)[0].caption))


def test_a_choice_says_what_the_data_leave_open(kept: Analysis, without: Analysis):
    [table] = choices.tables(kept)
    [found] = kept.choices
    assert [column.title for column in table.columns][:3] == ["Constraint", "met by", "open"]
    for row, choice in zip(table.rows, found.choices, strict=True):
        assert row.cells[2] == str(len(choice.open))
        assert not choice.able or choice.open
        # One that takes no part cannot be excluded.
        assert ("bitfit" in choice.open) == ("bitfit" in [candidate.label for candidate in choice.able])
    assert "open" not in [column.title for column in choices.tables(without)[0].columns]
    assert "open" not in choices.tables(without)[0].data


def test_interquartile_means_have_intervals_from_three_seeds_where_all_examples_are_known(
    tmp_path: Path, without: Analysis
):
    analysis = analyse(read(made_up.keep(synthetic.write_usual(tmp_path / "results"))))
    [standing], [before] = analysis.standings, without.standings
    assert all(mean.low is None for mean in before.means.values())
    assert standing.population == "seeds and examples"
    for label, mean in standing.means.items():
        assert mean.low < mean.estimate < mean.high
        assert mean.estimate == before.means[label].estimate
        # About as wide as chance makes a share of 1,000 examples on either of two tasks.
        assert 0.01 < mean.high - mean.low < 0.08
    [table] = standings.tables(analysis)
    assert "errors that are drawn for other seeds and examples" in plain(table.caption)


def test_document_and_talk_show_them_with_their_source(kept: Analysis, without: Analysis):
    made = [subject.part(kept, OURS) for subject in (section, tradeoff_section, costs)]
    labels = {block.label for part in made for block in part.section.blocks if isinstance(block, Table | Figure)}
    assert {"tab:rank-sets", "fig:rank-sets", "tab:front-tasks", "tab:front-costs"} <= labels
    texts = [block.text for block in made[0].section.blocks if isinstance(block, Paragraph)]
    assert {key for text in texts for piece in text for key in getattr(piece, "keys", ())} == {"mogstad2024ranks"}
    assert "mogstad2024ranks" in kept.references
    assert [slide.title for slide in made[0].slides] == [section.TITLE]
    assert section.part(without, OURS).slides == ()


def test_macros_have_the_ranks(kept: Analysis):
    lines = macros.numbers(kept).splitlines()
    for label, of in kept.ranked[0].sets.items():
        between = f"{of.low}–{of.high}" if of.low < of.high else f"{of.low}"
        assert f"\\benchdefine{{rank||{label}|}}{{{of.rank}}}" in lines
        assert f"\\benchdefine{{ranked||{label}|}}{{{between}}}" in lines
    assert not [line for line in lines if "ranked||bitfit" in line]


def test_ranks_are_written_as_people_write_them():
    assert [ordinals(n, n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th",
    ]  # fmt: skip
    assert re.fullmatch("between 2nd and 7th", ordinals(2, 7))

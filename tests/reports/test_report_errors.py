"""Errors, agreement, calibration and votes from kept predictions, against scikit-learn, closed forms and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kept
import numpy as np
import pytest
import synthetic_results as synthetic
from sklearn.metrics import cohen_kappa_score

from records import predictions
from records.predictions import Predictions, UnusablePredictions, to_bytes
from records.store import RecordStore
from reports.analysis.agreement import agreement, cohen_kappa
from reports.analysis.analysis import analyse
from reports.analysis.calibration import reliability
from reports.analysis.errors import ALONE, HARDEST, MOST_SHOWN, Errors
from reports.analysis.examples import LONGEST_TEXT
from reports.analysis.votes import majority, vote
from reports.answers import Answers, read_answers
from reports.model.document import Paragraph, Part
from reports.model.prose import OURS, plain
from reports.render import page_errors
from reports.render.page_data import script_text
from reports.results import read
from reports.sections import calibration, errors, examples


def answers(predicted: list[list[int]], expected: list[int], labels: list[str], seeds: list[int]) -> Answers:
    return Answers("b", "t", "classification", tuple(map(str, expected)), tuple(map(str, range(len(labels)))),
                   tuple(labels), tuple(seeds), np.array(predicted), np.array(expected))  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_kappa_is_that_of_scikit_learn(classes: int):
    rng = np.random.default_rng(classes)
    truth = rng.integers(classes, size=400)
    given = np.array(
        [np.where(rng.random(400) < share, truth, rng.integers(classes, size=400)) for share in (0.9, 0.5, 0)]
    )
    given[2] -= 1  # an answer that is none of the labels is -1
    found = cohen_kappa(given)
    for i in range(3):
        for j in range(3):
            assert found[i, j] == pytest.approx(cohen_kappa_score(given[i], given[j]), abs=1e-12)


def test_kappa_is_undefined_where_all_answers_are_alike():
    assert np.isnan(cohen_kappa(np.zeros((2, 5), dtype=int))).all()


def test_agreement_pairs_configurations_of_one_seed_and_seeds_of_one_configuration():
    rng = np.random.default_rng(0)
    given = rng.integers(2, size=(6, 50))
    labels, seeds = ["a", "a", "b", "b", "c", "c"], [0, 1, 0, 1, 0, 1]
    found = agreement(answers(given.tolist(), given[0].tolist(), labels, seeds), ["x", "x", "x", "x", "y", "y"])
    assert found is not None

    def kappa(i: int, j: int) -> float:
        return float(cohen_kappa_score(given[i], given[j]))

    assert found.kappas[0, 1] == pytest.approx((kappa(0, 2) + kappa(1, 3)) / 2)
    assert found.between_seeds == pytest.approx((kappa(0, 1) + kappa(2, 3) + kappa(4, 5)) / 3)
    assert found.within_families == pytest.approx((kappa(0, 2) + kappa(1, 3)) / 2)
    assert found.between_families == pytest.approx(np.mean([kappa(0, 4), kappa(1, 5), kappa(2, 4), kappa(3, 5)]))


def test_who_is_right_where_another_is_wrong():
    expected = [0] * 10
    first, second = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 0, 1, 1, 1]
    found = agreement(answers([first, second], expected, ["a", "b"], [0, 0]), ["x", "y"])
    assert found is not None
    [pair] = found.pairs
    shares = (pair.both_right, pair.first_alone, pair.second_alone, pair.both_wrong)
    assert shares == pytest.approx((0.4, 0.2, 0.1, 0.3))


def test_calibration_error_by_hand():
    # Bins (0.5, 0.6]: sure 0.6, 0.55; right 1 of 2. (0.9, 1]: sure 0.95, 1, 0.95; right 2 of 3.
    confidence, right = np.array([0.6, 0.95, 0.55, 1.0, 0.95]), np.array([True, True, False, False, True])
    found = reliability(confidence, right)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 3]
    expected = 2 / 5 * abs(0.5 - 0.575) + 3 / 5 * abs(2 / 3 - 2.9 / 3)
    assert found.error == pytest.approx(expected, abs=1e-12)


def test_a_model_that_is_as_often_right_as_it_is_sure_has_no_calibration_error():
    confidence = np.repeat([0.55, 0.75, 0.95], 2000)
    right = np.concatenate([np.arange(2000) < 2000 * sure for sure in (0.55, 0.75, 0.95)])
    assert reliability(confidence, right).error == pytest.approx(0, abs=1e-12)


def test_a_majority_is_counted_and_ties_go_to_the_earliest_member():
    given = np.array([[0, 0, 2, 1], [1, 1, 1, 2], [1, 0, 1, 0], [0, 2, 0, 3]])
    # Two of each: the first's. Two 0s. Two 1s against 2 and 0. All different: the first's.
    assert majority(given).tolist() == [0, 0, 1, 1]


def test_members_of_a_vote_are_chosen_on_validation_not_on_test():
    expected = [1, 1, 1, 1, 1, 1]
    good, fair, poor = [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 1]
    labels = ["a", "a2", "b", "c"]
    found = vote(
        answers([fair, good, fair, poor], expected, labels, [0, 0, 0, 0]),
        ["x", "x", "y", "z"],
        {"a": 0.9, "a2": 0.8, "b": 0.95, "c": 0.5},
    )
    assert found is not None
    assert found.members == ("b", "a", "c")
    assert found.single.mean == pytest.approx(4 / 6)
    assert found.vote.mean == pytest.approx(4 / 6)
    assert found.gain == 0
    assert vote(answers([fair, good], expected, ["a", "b"], [0, 0]), ["x", "y"], {"a": 0.9, "b": 0.8}) is None


def folder(root: Path, given: dict[tuple[str, int], list[int]], expected: list[int], **more: Any) -> list[Errors]:
    """A run of these methods and seeds on one task, with these answers."""
    cells = [synthetic.cell(method, "rotten_tomatoes", seed) for method, seed in given]
    synthetic.write(root, cells, map(synthetic.record, cells))
    store = RecordStore(root)
    for cell, predicted in zip(cells, given.values(), strict=True):
        kept.put(store, synthetic.record(cell), kept.classified(predicted, expected, **more))
    return analyse(read(root)).errors


def test_who_stands_alone(tmp_path: Path):
    expected = [0, 0, 0, 0, 0, 1]
    [found] = folder(
        tmp_path / "r",
        {
            # all wrong · all right · low-rank wrong · low-rank right · one seed of adapters wrong · sparse wrong
            ("bitfit", 0): [1, 0, 0, 1, 0, 0],
            ("bitfit", 1): [1, 0, 0, 1, 0, 0],
            ("lora", 0): [1, 0, 1, 0, 0, 1],
            ("lora", 1): [1, 0, 1, 0, 0, 1],
            ("houlsby", 0): [1, 0, 0, 1, 1, 1],
            ("houlsby", 1): [1, 0, 0, 1, 0, 1],
        },
        expected,
    )
    assert (found.wrong_by_all, found.right_by_all) == (1, 1)
    assert found.wrong_alone == {"sparse": 1, "low-rank": 1, "adapter": 1}
    assert found.right_alone == {"sparse": 0, "low-rank": 1, "adapter": 0}
    shown = {example.id: example for example in found.examples}
    assert shown[f"{3:064x}"].right_alone == "low-rank"
    assert shown[f"{5:064x}"].wrong_alone == "sparse"
    assert found.examples[0].wrong_by_all
    assert found.examples[0].said["adapter"].answer == "positive"
    assert found.examples[0].expected == "negative"


def test_cells_are_paired_by_example_whatever_the_order_of_their_files(tmp_path: Path):
    cells = [synthetic.cell(method, "rotten_tomatoes", 0) for method in ("full", "lora")]
    root = synthetic.write(tmp_path / "r", cells, map(synthetic.record, cells))
    ids, labels = ["a" * 64, "b" * 64, "c" * 64], [0, 1, 1]
    store = RecordStore(root)
    kept.put(store, synthetic.record(cells[0]), kept.classified([0, 1, 0], labels, examples=ids))
    kept.put(store, synthetic.record(cells[1]), kept.classified([1, 0, 0], labels[::-1], examples=ids[::-1]))
    found = read_answers(read(root), synthetic.BACKBONE, "rotten_tomatoes")
    assert found is not None
    assert found.examples == tuple(ids)
    assert found.right is not None
    assert found.right.tolist() == [[True, True, False], [True, False, True]]


def test_by_length_and_class(tmp_path: Path):
    [found] = folder(
        tmp_path / "r",
        {("full", 0): [0, 0, 1, 1, 0, 0, 0, 0], ("lora", 0): [0, 1, 1, 1, 1, 1, 0, 1]},
        [0, 0, 1, 1, 1, 1, 0, 0],
        tokens=[5, 6, 10, 11, 20, 21, 40, 41],
    )
    lengths = [(one.low, one.high, one.n, one.values) for one in found.slices if one.kind == "length"]
    assert lengths == [
        (5, 6, 2, {"full": 1.0, "lora": 0.5}),
        (10, 11, 2, {"full": 1.0, "lora": 1.0}),
        (20, 21, 2, {"full": 0.0, "lora": 1.0}),
        (40, 41, 2, {"full": 1.0, "lora": 0.5}),
    ]
    classes = [(one.name, one.n, one.values) for one in found.slices if one.kind == "class"]
    assert classes == [("negative", 4, {"full": 1.0, "lora": 0.5}), ("positive", 4, {"full": 0.5, "lora": 1.0})]


def test_probabilities_are_of_heads_alone(tmp_path: Path):
    expected = [0, 1]
    [found] = folder(tmp_path / "r", {("full", 0): [0, 1], ("lora", 0): [0, 0]}, expected)
    assert found.calibration is None
    root, results = tmp_path / "r", read(tmp_path / "r")
    cell = next(iter(results.records.values()))
    kept.put(RecordStore(root), cell, kept.classified([0, 0], expected, [[0.75, 0.25], [0.75, 0.25]]))
    calibration = analyse(read(root)).errors[0].calibration
    assert calibration is not None
    assert [(one.label, one.error.mean) for one in calibration.found] == [("full", 0.25)]
    assert calibration.without == ("lora",)


def test_graded_answers_have_hard_examples_and_no_agreement(tmp_path: Path):
    cells = [synthetic.cell(method, "summaries", seed) for method in ("full", "lora") for seed in range(2)]
    tasks = synthetic.TASKS | {
        "summaries": synthetic.TASKS["bbc_news"] | {"kind": "generation", "metrics": ["rouge_l"]}
    }
    cards = {"methods": synthetic.method_cards(), "tasks": tasks, "backbones": synthetic.BACKBONES}
    records = [synthetic.record(cell).model_copy(update={"test": {"rouge_l": 0.3}}) for cell in cells]
    root = synthetic.write(tmp_path / "r", cells, records, cards=cards)
    store = RecordStore(root)
    for record in records:
        scores = {"rouge_l": [0.5, 0.1]}
        said = [f"by {record.cell.label}", "no"]
        kept.put(store, record, Predictions("generation", ["a", "b"], said, [["yes"], ["why", "what"]], scores=scores))
    [found] = analyse(read(root)).errors
    assert (found.judged, found.agreement, found.vote) == (False, None, None)
    assert [(example.id, example.expected) for example in found.examples] == [("b", "why"), ("a", "yes")]
    assert found.examples[1].said["low-rank"].answer == "by lora"
    assert found.examples[1].said["low-rank"].value == 0.5


def test_texts_are_cut_and_may_be_left_out(tmp_path: Path):
    given = {("full", 0): [0, 1], ("lora", 0): [1, 1]}
    [found] = folder(tmp_path / "r", given, [0, 0])
    assert {example.text for example in found.examples} == {""}
    store = RecordStore(tmp_path / "r")
    store.write_texts(
        "rotten_tomatoes", {f"{0:064x}": {"text": "x" * 10**6}, f"{1:064x}": {"text": "a", "text_pair": "b"}}
    )
    [found] = analyse(read(tmp_path / "r")).errors
    texts = {example.id: example.text for example in found.examples}
    assert texts[f"{1:064x}"] == "a / b"
    assert texts[f"{0:064x}"] == "x" * (LONGEST_TEXT - 1) + "…"


def test_without_predictions_or_with_broken_ones_there_is_less(tmp_path: Path):
    cells = synthetic.grid(("full", "lora"), ("rotten_tomatoes",), 2)
    root = synthetic.write(tmp_path / "r", cells, map(synthetic.record, cells))
    assert analyse(read(root)).errors == []
    kept.keep_all(root)
    [found] = analyse(read(root)).errors
    assert len(found.cells) == 4
    RecordStore(root).folder(cells[0].id).joinpath("predictions.parquet").write_bytes(b"none")
    [found] = analyse(read(root)).errors
    assert set(found.cells) == {cell.id for cell in cells[1:]}


def test_a_strangers_file_is_refused_in_one_line():
    good = kept.classified([0, 1], [0, 1], [[0.9, 0.1], [0.2, 0.8]])
    assert predictions.answers(to_bytes(good), "accuracy").confidence.tolist() == pytest.approx([0.9, 0.8])
    import pyarrow as pa
    import pyarrow.parquet as pq

    def file(**columns: Any) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns).replace_schema_metadata({"kind": "classification"}), sink)
        return sink.getvalue().to_pybytes()

    for data, said in (
        (b"no", "no Parquet"),
        (file(example=["a"]), "lacks the column 'prediction'"),
        (file(example=["a"], prediction=[None], reference=[1]), "without a prediction"),
        (file(example=["a"], prediction=["x"], reference=["y"]), "holds no predictions"),
    ):
        with pytest.raises(UnusablePredictions, match=said) as error:
            predictions.answers(data, "accuracy")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("examples", [300, 900])
def test_the_page_carries_no_more_of_many_examples_than_its_share(tmp_path: Path, examples: int):
    """With 5,000 cells without predictions a page has 14 MB: what is left of 20 MB is enough for the longest texts of
    the widest letters, on as many tasks as there may be."""
    cells = synthetic.grid(("full", "lora", "houlsby"), ("rotten_tomatoes",), 1)
    root = synthetic.write(tmp_path / "r", cells, map(synthetic.record, cells))
    texts = {str(i): "😀" * 400 for i in range(examples)}
    results = read(kept.keep_all(root, examples, texts))
    found = analyse(results).errors
    assert len(found[0].examples) <= HARDEST + 2 * ALONE * 3
    size = len(script_text(page_errors.errors(results, found)).encode())
    assert size / len(found[0].examples) * MOST_SHOWN < 5e6


def test_many_tasks_share_what_is_shown(tmp_path: Path):
    tasks = [f"task_{i}" for i in range(25)]
    cells = synthetic.grid(("full", "lora"), tasks, 1)
    root = kept.keep_all(synthetic.write(tmp_path / "r", cells, map(synthetic.record, cells)), n=100)
    found = analyse(read(root)).errors
    assert len(found) == 25
    assert sum(len(one.examples) for one in found) <= MOST_SHOWN


def test_reports_of_folders_without_predictions_say_nothing_of_errors(usual: Path):
    analysis = analyse(read(usual))
    assert [subject.part(analysis, OURS) for subject in (errors, examples, calibration)] == [Part()] * 3


# Three models of which each errs on another example, and a majority on none.
ONE_ERROR = ([0, 1, 1, 1, 1, 0], [1, 0, 1, 1, 1, 0], [1, 1, 0, 1, 1, 0])
METHODS = ("full", "lora", "houlsby")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Families err on different examples, whatever the seed.
        (
            {(method, seed): answers for method, answers in zip(METHODS, ONE_ERROR, strict=True) for seed in range(3)},
            ("depends on the family by more than training anew", "gains 0.0 points, which is less"),
        ),
        # Seeds do, whatever the family.
        (
            {(method, seed): answers for method in METHODS for seed, answers in enumerate(ONE_ERROR)},
            ("about as much as another family does", "gains +16.7 points, no less"),
        ),
    ],
)
def test_a_difference_of_families_is_told_from_one_of_seeds(
    tmp_path: Path, given: dict[tuple[str, int], list[int]], expected: tuple[str, str]
):
    folder(tmp_path / "r", given, [1, 1, 1, 1, 1, 0])
    section = errors.part(analyse(read(tmp_path / "r")), OURS).section
    assert section is not None
    said = " ".join(plain(block.text) for block in section.blocks if isinstance(block, Paragraph))
    assert all(sentence in said for sentence in expected)
    assert (
        "Of the 6 test examples of rotten_tomatoes 0.0 % are answered wrongly by every run and 50.0 % rightly" in said
    )

"""bench merge: what can be compared becomes one folder, and what cannot is named."""

from __future__ import annotations

import json
import shutil

import pytest

from bench.merging import merge
from records import predictions
from records.record import Record
from records.store import RecordStore, ResultsError
from reports.results import read
from tests.reports import synthetic_results as synthetic


def write(root, seeds, methods=("full", "lora"), **environment):
    """A run of these seeds on one task, in an environment that differs in this."""
    cells = [synthetic.cell(method, "rotten_tomatoes", seed) for method in methods for seed in seeds]
    records = [synthetic.record(cell) for cell in cells]
    records = [record.model_copy(update={"environment": record.environment | environment}) for record in records]
    return synthetic.write(root, cells, records)


def change(root, **values) -> str:
    """Changes the first record; returns its id."""
    store = RecordStore(root)
    record = next(iter(store.records()))
    store.write(record.model_copy(update=values))
    return record.id


def table(root) -> dict[tuple[str, int], float]:
    cells = read(root).cells
    return {(row.label, row.seed): row.score for row in cells.itertuples()}


@pytest.fixture
def a(tmp_path):
    return write(tmp_path / "a", [0, 1])


def test_seeds_of_two_machines_are_one_run(a, tmp_path):
    b = write(tmp_path / "b", [2])
    found = merge([a, b], tmp_path / "c")
    assert (found.cells, found.shared, found.lines) == (6, 0, [])
    assert table(tmp_path / "c") == table(a) | table(b)
    merged = RecordStore(tmp_path / "c").manifest()
    assert merged.suite["seeds"] == [0, 1, 2] and merged.mixed == []


def test_logs_kept_files_and_texts_come_along(a, tmp_path):
    store = RecordStore(a)
    answers = predictions.Predictions("classification", ["x", "y"], [0, 1], [0, 0], scores={"accuracy": [1.0, 0.0]})
    record = next(iter(store.records()))
    digest = store.keep(record.id, "predictions.parquet", predictions.to_bytes(answers))
    store.write(record.model_copy(update={"kept": {"predictions.parquet": digest}}))
    store.log(record.id).write_text("said\n")
    store.write_texts("rotten_tomatoes", {"x": {"text": "one"}, "y": {"text": "two"}})
    merge([write(tmp_path / "b", [2]), a], tmp_path / "c")
    merged = RecordStore(tmp_path / "c")
    found = merged.read(record.id)
    assert merged.predictions(found).predictions == [0, 1]
    assert merged.read_log(record.id) == "said"
    assert merged.texts()["y"] == {"text": "two"}


def test_a_cell_that_both_have_is_kept_once_with_its_cost(a, tmp_path):
    b = tmp_path / "b"
    shutil.copytree(a, b)
    cell = change(a, status="trained", cost=None, attempts=3)
    found = merge([a, b], tmp_path / "c")
    assert (found.cells, found.shared) == (4, 4)
    record = RecordStore(tmp_path / "c").read(cell)
    assert (record.status, record.attempts) == ("ok", 1) and record.cost is not None


def test_of_a_failed_and_a_finished_one_the_finished_is_kept(a, tmp_path):
    b = tmp_path / "b"
    shutil.copytree(a, b)
    cell = change(a, status="failed", reason="out of memory", test={}, validation={}, cost=None)
    merge([a, b], tmp_path / "c")
    assert RecordStore(tmp_path / "c").read(cell).status == "ok"


def test_two_results_of_one_cell_are_refused_unless_one_is_preferred(a, tmp_path):
    b = tmp_path / "b"
    shutil.copytree(a, b)
    was = next(iter(RecordStore(a).records())).test["accuracy"]
    cell = change(b, test={"accuracy": 0.5, "macro_f1": 0.5})
    with pytest.raises(ResultsError) as caught:
        merge([a, b], tmp_path / "c")
    assert f"cell {cell} " in str(caught.value)
    assert f"test accuracy is {was} in {a} and 0.5 in {b}; --prefer-first" in str(caught.value)
    assert not (tmp_path / "c" / "manifest.json").exists()
    merge([a, b], tmp_path / "c", prefer_first=True)
    assert RecordStore(tmp_path / "c").read(cell).test["accuracy"] == was
    merge([b, a], tmp_path / "d", prefer_first=True)
    assert RecordStore(tmp_path / "d").read(cell).test["accuracy"] == 0.5


DIFFERENCES = {
    "commit": ({"commit": "0123456789abcdef"}, "the code's commit: 566e2b7c0ffe in {a}, 0123456789ab in {b}"),
    "precision": ({"precision": "no"}, "the precision of the arithmetic: bf16 in {a}, no in {b}"),
    "device": ({"device": "cuda"}, "the device on which costs were measured: cpu (AMD EPYC 9B45) in {a}, cuda in {b}"),
    "versions": ({"versions": {"torch": "2.1"}}, "the version of torch: 2.13.0 in {a}, 2.1 in {b}"),
}


@pytest.mark.parametrize("aspect", DIFFERENCES)
def test_what_is_not_comparable_is_refused_unless_allowed_and_then_said(a, tmp_path, aspect):
    environment, said = DIFFERENCES[aspect]
    b = write(tmp_path / "b", [2], **environment)
    said = said.format(a=a, b=b)
    with pytest.raises(ResultsError) as caught:
        merge([a, b], tmp_path / "c", allow=[other for other in DIFFERENCES if other != aspect])
    assert str(caught.value) == f"{said}; --allow {aspect} merges them all the same, and the report says so"
    merge([a, b], tmp_path / "c", allow=[aspect])
    assert RecordStore(tmp_path / "c").manifest().mixed == [said]
    # And so it stays in a merge of the merged.
    merge([tmp_path / "c", write(tmp_path / "d", [3])], tmp_path / "e", allow=list(DIFFERENCES))
    assert said in RecordStore(tmp_path / "e").manifest().mixed


def test_so_are_other_versions_of_the_data(a, tmp_path):
    b = write(tmp_path / "b", [2])
    for root, commit in ((a, "1" * 40), (b, "2" * 40)):
        record = next(iter(RecordStore(root).records()))
        change(root, data=record.data.model_copy(update={"commits": {"maker/data": commit}}))
    with pytest.raises(ResultsError, match=f"data maker/data: {'1' * 40} in .*, {'2' * 40} in .*; --allow data"):
        merge([a, b], tmp_path / "c")


def test_one_label_for_two_configurations_is_refused(a, tmp_path):
    cells = [synthetic.cell("lora", "rotten_tomatoes", 2, train_examples=50)]
    b = synthetic.write(tmp_path / "b", cells, [synthetic.record(each) for each in cells])
    with pytest.raises(ResultsError, match=r"lora on rotten_tomatoes .*has another budget in .*a than in .*b"):
        merge([a, b], tmp_path / "c")


def test_one_configuration_has_one_label(a, tmp_path):
    cells = [synthetic.cell("lora", "rotten_tomatoes", 2, "lora-of-old")]
    b = synthetic.write(tmp_path / "b", cells, [synthetic.record(each) for each in cells])
    merge([a, b], tmp_path / "c")
    assert ("lora", 2) in table(tmp_path / "c")


def test_a_merge_that_was_cut_off_is_no_result_and_can_be_repeated(a, tmp_path, monkeypatch):
    b = write(tmp_path / "b", [2])
    write_record = RecordStore.write
    left = [3]

    def fail(self: RecordStore, record: Record) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError("the power is gone")
        write_record(self, record)

    monkeypatch.setattr(RecordStore, "write", fail)
    with pytest.raises(OSError, match="power"):
        merge([a, b], tmp_path / "c")
    assert not (tmp_path / "c" / "manifest.json").exists()
    monkeypatch.undo()
    for _ in range(2):
        assert merge([a, b], tmp_path / "c").cells == 6
    assert table(tmp_path / "c") == table(a) | table(b)


def test_nothing_outside_the_folders_is_read(a, tmp_path):
    (tmp_path / "secret").write_text("secret")
    record = next(iter(RecordStore(a).records()))
    RecordStore(a).log(record.id).symlink_to(tmp_path / "secret")
    (a / "examples").mkdir()
    (a / "examples" / "task-0.parquet").symlink_to(tmp_path / "secret")
    merge([a, write(tmp_path / "b", [2])], tmp_path / "c")
    files = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    assert files and not any(b"secret" in path.read_bytes() for path in files)


def test_folders_that_do_not_fit(a, tmp_path):
    b = write(tmp_path / "b", [2])
    for folders, root, said in (
        ([a], tmp_path / "c", "two results folders or more"),
        ([a, a], tmp_path / "c", "named twice"),
        ([a, b], a / "inside", "a folder of their own"),
        ([a, b], write(tmp_path / "other", [5]), "holds results already"),
    ):
        with pytest.raises(ResultsError, match=said):
            merge(folders, root)


def test_a_record_that_cannot_be_read_is_left_out_and_named(a, tmp_path):
    cell = next(iter(RecordStore(a).records())).id
    (a / "cells" / cell / "record.json").write_text("{")
    found = merge([a, write(tmp_path / "b", [2])], tmp_path / "c")
    assert len(found.lines) == 1 and cell in found.lines[0] and "\n" not in found.lines[0]
    assert RecordStore(tmp_path / "c").read(cell) is None


def test_the_command_line(a, bench, tmp_path):
    b = write(tmp_path / "b", [2], precision="no")
    refused = bench("merge", a, b, "--results", "c")
    assert refused.returncode == 1 and "--allow precision" in refused.stderr
    done = bench("merge", a, b, "--results", "c", "--allow", "precision")
    assert (done.returncode, done.stderr) == (0, "")
    assert "merged though it differs: the precision of the arithmetic" in bench("status", "c").stdout
    assert bench("merge", a, b, "--results", "c", "--allow", "colour").returncode == 2
    assert json.loads((tmp_path / "c" / "manifest.json").read_text())["suite"]["merged"] == [str(a), str(b)]

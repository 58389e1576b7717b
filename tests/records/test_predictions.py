"""What was answered on each test example comes back as it was, for every kind of task; what is no such file is told."""

import io
import json
import os

import pandas as pd
import pytest

from records import predictions
from records.cell import Budget, Cell
from records.predictions import Predictions, UnusablePredictions
from records.record import Record
from records.store import BrokenRecord, RecordStore

CELL = Cell(
    backbone="b", backbone_revision="1", method="m", label="m", hyperparameters={}, method_revision="1", task="t",
    task_revision="1", seed=0, precision="no", budget=Budget(),
)  # fmt: skip

KINDS = {
    "classification": ([1, 0], [1, 1]),
    "multiple choice": ([2, 0], [0, 0]),
    "regression": ([0.25, -1e300], [1.0, 0.0]),
    "tagging": ([[0, 1], []], [[0, 0], []]),
    "extractive QA": (["an answer", ""], [["an answer", "answer"], []]),
    "generation": (["</script> \u202e \\input{x} 答え", ""], [["one", "two"], [""]]),
    "language modelling": ([-12.5, -3.0], [[7, 30], [2, 9]]),
    "mixture": ([[0, 1], [1, "text"]], [[0, 1], [1, ["text", "other"]]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_as_it_was(kind):
    given, right = KINDS[kind]
    whole = Predictions(
        kind, ["a", "b"], given, right, tokens=[3, 9], scores={"accuracy": [1.0, 0.0]},
        probabilities=[[0.5, 0.5], [0.25, 0.75]], likelihoods=[[-1.5], [-2.0, -8.0]], resampled={"f1": [0.5, 0.25]},
    )  # fmt: skip
    assert predictions.from_bytes(predictions.to_bytes(whole)) == whole
    bare = Predictions(kind, ["a", "b"], given, right)
    assert predictions.from_bytes(predictions.to_bytes(bare)) == bare


def test_other_programs_can_read_it():
    data = predictions.to_bytes(Predictions("classification", ["a", "b"], [1, 0], [1, 1], scores={"accuracy": [1, 0]}))
    frame = pd.read_parquet(io.BytesIO(data))
    assert frame.to_dict("list") == {
        "example": ["a", "b"], "reference": [1, 1], "prediction": [1, 0], "score:accuracy": [1.0, 0.0],
    }  # fmt: skip


def test_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="length"):
        predictions.to_bytes(Predictions("classification", ["a", "b"], [1], [1, 1]))


def test_one_metric_is_read_alone():
    data = predictions.to_bytes(
        Predictions(
            "classification", ["a", "b"], [1, 0], [1, 1], scores={"accuracy": [1.0, 0.0]}, resampled={"f1": [0.5]}
        )
    )
    found = predictions.outcome(data, "accuracy")
    assert list(found.examples) == ["a", "b"] and list(found.scores) == [1.0, 0.0] and found.draws is None
    drawn = predictions.outcome(data, "f1")
    assert drawn.scores is None and list(drawn.draws) == [0.5]
    assert predictions.outcome(data, "rouge_l") is None


def _parquet(frame, **metadata):
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(pd.DataFrame(frame)).replace_schema_metadata(metadata), sink)
    return sink.getvalue()


GOOD = predictions.to_bytes(Predictions("classification", ["a"], [1], [1]))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PAR1", b"not a file", GOOD[: len(GOOD) // 2], GOOD[:-8] + b"\xff" * 8,
        _parquet({"example": ["a"]}, kind="classification"),
        _parquet({"example": ["a"], "prediction": ["{"], "reference": ["1"]}, kind="mixture"),
        _parquet({"example": ["a"], "prediction": [1], "reference": [1]}, kind="mixture"),
        _parquet({"example": ["a"], "prediction": [1], "reference": [1]}, kind="regression", resampled="[1]"),
        _parquet({"example": ["a"], "prediction": [1], "reference": [1]}, kind="regression", resampled='{"a": "x"}'),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_told_in_one_line(data):
    with pytest.raises(UnusablePredictions) as raised:
        predictions.from_bytes(data)
    assert "\n" not in str(raised.value)


def record(store, **keys):
    made = Record(
        id=CELL.id, cell=CELL, status="trained", started="", finished="", wall_seconds=1, test={"accuracy": 1.0}, **keys
    )
    store.write(made)
    return made


def test_a_file_goes_with_the_record_that_names_its_digest(tmp_path):
    store = RecordStore(tmp_path)
    digest = store.keep(CELL.id, "predictions.parquet", GOOD)
    known = record(store, kept={"predictions.parquet": digest})
    assert store.predictions(known).examples == ["a"]
    assert store.predictions(record(store)) is None, "what the record does not speak of is not its own"
    path = store.folder(CELL.id) / "predictions.parquet"
    path.write_bytes(predictions.to_bytes(Predictions("classification", ["a"], [0], [1])))
    with pytest.raises(BrokenRecord, match="is not the file that the record was written with"):
        store.predictions(known)
    path.unlink()
    assert store.predictions(known) is None, "it was pruned"
    path.symlink_to("/etc/hostname")
    with pytest.raises(BrokenRecord, match="link"):
        store.predictions(known)


@pytest.mark.parametrize("step", ["file", "record", "name"])
def test_an_exchange_that_is_cut_off_leaves_a_file_that_goes_with_the_record(tmp_path, monkeypatch, step):
    store = RecordStore(tmp_path)
    known = record(store, kept={"predictions.parquet": store.keep(CELL.id, "predictions.parquet", GOOD)})
    replace, calls = os.replace, []

    def refuse(source, target):
        calls.append(target)
        if len(calls) == 1 + ["file", "record", "name"].index(step):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    new = predictions.to_bytes(Predictions("classification", ["a"], [0], [1]))
    with pytest.raises(OSError, match="No space"):
        store.replace_kept(known.model_copy(deep=True), "predictions.parquet", new)
    monkeypatch.undo()
    after = store.read(CELL.id)
    assert store.predictions(after).predictions == ([0] if step == "name" else [1])
    # The next exchange is none the worse for it.
    store.replace_kept(after, "predictions.parquet", new)
    assert store.predictions(store.read(CELL.id)).predictions == [0]


def test_texts_are_kept_once(tmp_path):
    store = RecordStore(tmp_path)
    rows = {"a": {"text": "one", "label": 0}, "b": {"text": "two", "label": 1}}
    store.write_texts("mixture:a+b", rows)
    [path] = (tmp_path / "examples").iterdir()
    written = path.stat().st_mtime_ns
    store.write_texts("mixture:a+b", dict(reversed(rows.items())))
    store.write_texts("other/../task", {"c": {"text": "three"}})
    assert path.stat().st_mtime_ns == written and len(list((tmp_path / "examples").iterdir())) == 2
    (tmp_path / "examples" / "broken.parquet").write_bytes(b"no")
    assert store.texts() == rows | {"c": {"text": "three"}}
    assert json.dumps(store.texts())

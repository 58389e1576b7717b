"""What cells keep beside their records, and what is done with it later: scoring, verifying, rewinding, pruning."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from bench.again import again
from bench.origin import Origin
from bench.verifying import compare, predict_again
from bench.worker import precision_of
from records import predictions
from records.predictions import RESAMPLES, Predictions
from records.store import RecordStore
from tests.conftest import PLUGINS, read_records

METHODS = {"full": {"lr": 5e-3}, "head": {"lr": 1e-2}, "lora": {"lr": 5e-2}, "houlsby": {"lr": 1e-2}}


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory):
    """A results folder with four cells; each test has a copy."""
    return {}


@pytest.fixture
def results(bench, write_suite, tmp_path, trained):
    if not trained:
        first = bench("run", write_suite(methods=METHODS, profile=False))
        assert first.returncode == 0, first.stdout + first.stderr
        kept = Path(str(tmp_path) + "-kept")
        shutil.copytree(tmp_path, kept)
        trained["folder"] = kept
    else:
        shutil.copytree(trained["folder"], tmp_path, dirs_exist_ok=True)
    return tmp_path / "results" / "tiny"


def cell_of(results: Path, label: str) -> str:
    [found] = [cell for cell, record in read_records(results).items() if record["cell"]["label"] == label]
    return found


def test_predictions_give_the_recorded_scores_and_texts_are_found_by_id(results):
    store = RecordStore(results)
    texts = store.texts()
    for record in store.records():
        kept = store.predictions(record)
        assert len(kept) == 60 == len(set(kept.examples)) == len(kept.tokens)
        assert accuracy_score(kept.references, kept.predictions) == pytest.approx(record.test["accuracy"])
        assert f1_score(kept.references, kept.predictions, average="macro") == pytest.approx(record.test["f1_macro"])
        assert np.mean(kept.scores["accuracy"]) == pytest.approx(record.test["accuracy"])
        assert np.argmax(kept.probabilities, axis=1).tolist() == kept.predictions
        assert np.allclose(np.sum(kept.probabilities, axis=1), 1, atol=1e-5)
        rights = [texts[example]["label"] for example in kept.examples]
        assert rights == kept.references
        warm = [
            any(word in texts[e]["text"].split() for word in ("red", "orange", "yellow", "pink")) for e in kept.examples
        ]
        assert warm == [bool(label) for label in rights], "the text of an example is its own"
        words = [len(texts[example]["text"].split()) for example in kept.examples]
        assert kept.tokens == [count + 2 for count in words], "with [CLS] and [SEP]"
    order = {tuple(store.predictions(record).examples) for record in store.records()}
    assert len(order) == 1, "all cells are asked the same examples in the same order"


def test_what_a_suite_does_not_keep_is_not_written(bench, write_suite, tmp_path):
    keep = {"predictions": False, "texts": False, "state": "none"}
    done = bench("run", write_suite(methods={"head": {}}, profile=False, keep=keep))
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "results" / "tiny"
    [record] = read_records(results).values()
    assert record["kept"] == {} and not (results / "examples").exists()
    assert {path.name for path in results.glob("cells/*/*")} == {"record.json", "log.txt"}
    # What is kept changes no result, and so no cell: nothing is run again.
    again = bench("run", write_suite(methods={"head": {}}, profile=False))
    assert "1 finished before" in again.stdout
    wrong = bench("run", write_suite(keep={"states": "all"}))
    assert wrong.returncode and "unknown key of keep; did you mean 'state'?" in wrong.stderr


def test_states_below_the_limit_are_kept_and_all_on_request(results, monkeypatch):
    from bench import keeping

    kept = {record["cell"]["label"]: "state.safetensors" in record["kept"] for record in read_records(results).values()}
    assert kept == dict.fromkeys(METHODS, True), "the whole of so small a backbone is no larger than an adapter"
    state = keeping.state_from_bytes((results / "cells" / cell_of(results, "lora") / "state.safetensors").read_bytes())
    assert keeping.is_kept(state, "all") and keeping.is_kept(state, "adapters") and not keeping.is_kept(state, "none")
    monkeypatch.setattr(keeping, "ADAPTER_BYTES", keeping.size_of(state))
    assert keeping.is_kept(state, "all") and not keeping.is_kept(state, "adapters")
    assert not keeping.is_kept({}, "all")


def test_a_loaded_state_answers_as_recorded(bench, results):
    store = RecordStore(results)
    for record in store.records():
        recorded, again = store.predictions(record), predict_again(Origin(store), record)
        assert again.predictions == recorded.predictions and again.examples == recorded.examples
        assert np.allclose(again.probabilities, recorded.probabilities, atol=1e-5)
    assert bench("verify", results).stdout.endswith("4 of 4 states give the recorded answers again\n")


def test_a_state_that_is_not_the_cells_fails_in_one_line(bench, results):
    lora, head, full = (cell_of(results, label) for label in ("lora", "head", "full"))
    path = results / "cells" / lora / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    (results / "cells" / head / "state.safetensors").unlink()
    record = json.loads((results / "cells" / full / "record.json").read_text())
    record["test"]["accuracy"] = 0.123
    (results / "cells" / full / "record.json").write_text(json.dumps(record))
    said = bench("verify", results, "--cell", lora, "--cell", head)
    assert said.returncode == 1
    assert "is not the file that the record was written with" in said.stdout and "has no state to load" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


def test_answers_that_differ_are_counted(bench, results):
    store, lora = RecordStore(results), cell_of(results, "lora")
    record = store.read(lora)
    kept = store.predictions(record)
    flipped = replace(kept, predictions=[1 - kept.predictions[0], *kept.predictions[1:]])
    store.replace_kept(record, "predictions.parquet", predictions.to_bytes(flipped))
    said = bench("verify", results, "--cell", lora)
    assert said.returncode == 1 and "FAILS" in said.stdout and "59 of 60 answers as recorded" in said.stdout


def softmax(*logits: float) -> list[float]:
    powers = np.exp(np.array(logits))
    return (powers / powers.sum()).tolist()


# Logits of two or more labels: as recorded, and as given again. Of bf16 numbers between 4 and 8 each is 2⁻⁵ from the
# next, of those between 2 and 4 2⁻⁶.
TIES = {
    "fp32, the last digits": ("no", (0.1, 0.1001), (0.1001, 0.1), True),
    "fp32, a thousandth": ("no", (0.1, 0.101), (0.101, 0.1), False),
    "bf16, a thousandth": ("bf16", (0.1, 0.101), (0.101, 0.1), True),
    "bf16, one step up": ("bf16", (4.0, 3.984375, -2.0), (3.984375, 4.0, -2.0), True),
    "bf16, two steps": ("bf16", (4.0, 3.984375, -2.0), (4.0, 4.03125, -2.0), True),
    "far apart in the record": ("bf16", (0.5, 0.1), (0.1, 0.101), False),
    "far apart now": ("bf16", (0.101, 0.1), (0.1, 0.5), False),
    "one of very many": ("bf16", (2.0, 0.9, *[1.5] * 148), (1.6, 1.7, *[1.5] * 148), False),
}


@pytest.mark.parametrize(("precision", "before", "after", "tied"), TIES.values(), ids=TIES)
def test_two_labels_as_good_as_equal_are_tied(precision, before, after, tied):
    """On another processor the larger of the two is the other one."""
    one, two = (
        Predictions("classification", ["a"], [int(np.argmax(row))], [0], probabilities=[softmax(*row)])
        for row in (before, after)
    )
    told = SimpleNamespace(environment={"precision": precision})
    assert compare(told, one, two) == (0, int(tied))
    assert compare(told, one, one) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "precision", "given", "same"),
    [
        ("regression", "bf16", 4.03125, True),  # the next bf16 number
        ("regression", "bf16", 4.1, False),
        ("regression", "no", 4.03125, False),
        ("regression", "no", 4.001, True),
        ("language modelling", "bf16", 4.01, False),
    ],
)
def test_numbers_agree_to_within_what_their_precision_rounds(kind, precision, given, same):
    one, two = (Predictions(kind, ["a"], [value], [4.0]) for value in (4.0, given))
    assert compare(SimpleNamespace(environment={"precision": precision}), one, two) == (int(same), 0)


@pytest.mark.parametrize(("flipped", "status"), [(3, 0), (4, 1)])
def test_a_state_holds_with_a_few_ties(bench, results, monkeypatch, flipped, status):
    """Of 60 answers three are 5 %."""
    monkeypatch.setattr("bench.verifying.ODDS", {"no": 100.0})  # so that any two labels are
    store, lora = RecordStore(results), cell_of(results, "lora")
    record = store.read(lora)
    kept = store.predictions(record)
    answers = [1 - answer for answer in kept.predictions[:flipped]] + kept.predictions[flipped:]
    store.replace_kept(record, "predictions.parquet", predictions.to_bytes(replace(kept, predictions=answers)))
    said = bench("verify", results, "--cell", lora)
    assert said.returncode == status
    assert f"{60 - flipped} of 60 answers as recorded, {flipped} tied with the recorded" in said.stdout


@pytest.mark.parametrize(
    ("told", "threads", "precision"),
    [
        ({"threads": 3, "precision": "no"}, 3, "no"),
        ({"threads": 2, "precision": "bf16"}, 2, "bf16"),
        ({"threads": 64, "precision": "no"}, 4, "no"),  # of a larger machine
        ({"threads": 3, "device": "NVIDIA H100", "precision": "bf16"}, 5, "bf16"),
        ({"threads": None, "precision": "fp8"}, 5, None),  # as this machine does it
    ],
)
def test_a_cell_taken_up_again_computes_as_it_did(results, monkeypatch, told, threads, precision):
    monkeypatch.setattr("bench.again.cores", lambda: 4)
    monkeypatch.setitem(AcceleratorState._shared_state, "before", "another's")
    manifest = json.loads((results / "manifest.json").read_text())
    cell = cell_of(results, "lora")
    manifest["cells"][cell]["precision"] = "auto"
    (results / "manifest.json").write_text(json.dumps(manifest))
    origin = Origin(RecordStore(results))
    environment = {"device": "cpu"} | told
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        outer = dict(AcceleratorState._shared_state)
        with again(origin, SimpleNamespace(id=cell, environment=environment)) as run:
            assert torch.get_num_threads() == threads
            assert run.accelerator.mixed_precision == (precision or precision_of("auto"))
        assert torch.get_num_threads() == 5 and AcceleratorState._shared_state == outer
    finally:
        torch.set_num_threads(before)


MORE = """
from collections.abc import Sequence
from sklearn.metrics import balanced_accuracy_score
from colours import Colours as First

class Colours(First):
    card = First.card.__class__(**(
        {name: getattr(First.card, name) for name in ("name", "title", "kind", "labels", "summary", "split", "licence",
         "citation", "bibtex")} | {"metrics": ("accuracy", "f1_macro", "balanced_accuracy")}))

    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        found = super().score(predictions, references)
        return found | {"balanced_accuracy": float(balanced_accuracy_score(references, predictions))}
"""


def test_a_metric_added_later_is_what_training_with_it_gives(bench, write_suite, results, tmp_path):
    plugin = tmp_path / "more.py"
    plugin.write_text(MORE)
    shutil.copy(PLUGINS / "colours.py", tmp_path / "colours.py")
    before = read_records(results)
    manifest = results / "manifest.json"
    data = json.loads(manifest.read_text())
    data["suite"]["plugins"] = [str(plugin)]
    manifest.write_text(json.dumps(data))

    said = bench("score", results)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "colours: 4 cells scored again, 4 with something new" in said.stdout
    assert "none with something new" in bench("score", results).stdout

    fresh = bench("run", write_suite("fresh", methods=METHODS, profile=False, plugins=[str(plugin)]))
    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    from_start = {r["cell"]["label"]: r["test"] for r in read_records(tmp_path / "results" / "fresh").values()}
    store = RecordStore(results)
    for cell, record in read_records(results).items():
        kept = store.predictions(store.read(cell))
        independent = balanced_accuracy_score(kept.references, kept.predictions)
        assert record["test"]["balanced_accuracy"] == pytest.approx(independent)
        assert record["test"] == from_start[record["cell"]["label"]]
        assert (
            record["rescored"].keys() == {"balanced_accuracy"}
            and record["rescored"]["balanced_accuracy"]["was"] is None
        )
        assert {k: v for k, v in record["test"].items() if k != "balanced_accuracy"} == before[cell]["test"]
    assert store.manifest().cards.tasks["colours"].metrics == ("accuracy", "f1_macro", "balanced_accuracy")


def test_a_corrected_metric_is_written_with_what_it_was(bench, results):
    cell = cell_of(results, "head")
    path = results / "cells" / cell / "record.json"
    record = json.loads(path.read_text())
    right = record["test"]["f1_macro"]
    record["test"]["f1_macro"] = 0.25
    path.write_text(json.dumps(record))
    assert "1 with something new" in bench("score", results).stdout
    after = json.loads(path.read_text())
    assert after["test"]["f1_macro"] == pytest.approx(right) and after["rescored"]["f1_macro"]["was"] == 0.25


def test_merged_models_are_scored_on_the_way_back(bench, results):
    said = bench("rewind", results)
    assert said.returncode == 0, said.stdout + said.stderr
    records = {record["cell"]["label"]: record for record in read_records(results).values()}
    assert not records["houlsby"]["rewound"] and "its method does not merge" in said.stdout
    assert not records["head"]["rewound"] and "it has changed no weight of the backbone" in said.stdout
    for label in ("full", "lora"):
        points = {point["alpha"]: point["validation"] for point in records[label]["rewound"]}
        assert list(points) == [0, 0.25, 0.5, 0.75, 1, 1.25]
        assert points[1] == pytest.approx(records[label]["validation"]), "all of the difference is the trained model"
    assert any(record["rewound"] and record["rewound"][0] != record["rewound"][4] for record in records.values())
    assert "0 cells rewound" in bench("rewind", results).stdout.replace("2 cells", "0 cells")


def test_pruning_removes_what_is_asked_and_no_score(bench, results):
    before = read_records(results)
    assert bench("prune", results).returncode == 1
    left = results / "cells" / next(iter(before)) / "checkpoint.pt"
    left.write_bytes(b"of a training that was cut off")
    assert bench("prune", results, "--states", "--texts").returncode == 0 and left.exists()
    assert bench("prune", results, "--checkpoints").returncode == 0 and not left.exists()
    after = read_records(results)
    assert all(record["kept"].keys() == {"predictions.parquet"} for record in after.values())
    assert not list(results.glob("cells/*/state.safetensors")) and not list(results.glob("examples/*"))
    assert [r["test"] for r in after.values()] == [r["test"] for r in before.values()]
    status = bench("status", results).stdout
    assert "kept: predictions of 4 cells" in status and "states" not in status


def test_a_metric_that_is_no_mean_is_drawn_again_for_pairs_of_examples(tmp_path):
    """The spread of paired draws is the standard error that theory gives: here of a mean, whose is known."""
    from bench.scoring import resampled
    from tasks.base import Card, Task

    class Rate(Task):
        card = Card("rate", "", "regression", ("rate",), "", "", "", "")

        def load(self):
            raise NotImplementedError

        def score(self, predictions, references):
            return {"rate": float(np.mean(predictions))}

    generator = np.random.default_rng(3)
    one = generator.integers(0, 2, 400)
    other = np.where(generator.random(400) < 0.1, 1 - one, one)
    ids = [f"{number:04d}" for number in range(400)]
    shuffled = generator.permutation(400)
    first = np.array(resampled(Rate(), ids, one.tolist(), [0] * 400)["rate"])
    second = resampled(Rate(), [ids[i] for i in shuffled], other[shuffled].tolist(), [0] * 400)["rate"]
    assert len(first) == RESAMPLES
    paired = np.std(first - np.array(second), ddof=1)
    exact = np.std(one - other, ddof=1) / 20
    assert paired == pytest.approx(exact, rel=0.2), "whatever the order in which the two were asked"
    assert np.std(first, ddof=1) == pytest.approx(np.std(one, ddof=1) / 20, rel=0.2)

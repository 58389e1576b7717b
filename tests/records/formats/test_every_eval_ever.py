"""Results in the schema of Every Eval Ever: its own validator accepts them, and they say what was measured."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench.converting import Options, convert
from records.cards import TaskCard
from records.formats.every_eval_ever_samples import samples
from records.predictions import Predictions, to_bytes
from records.store import RecordStore
from tests.reports import synthetic_results

EXAMPLES = 50
TEXT = "a film of\u2028quiet \u0085 beauty"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> RecordStore:
    """Three scored cells of a classification, whose texts were kept; one that failed."""
    root = tmp_path_factory.mktemp("every") / "results"
    cells = synthetic_results.grid(("full", "lora"), ("rotten_tomatoes",), seeds=2)
    records = [synthetic_results.record(one) for one in cells[:3]]
    synthetic_results.write(root, cells, [*records, synthetic_results.record(cells[3], "failed", reason="why")])
    synthetic_results.keep_answers(root, EXAMPLES)
    store = RecordStore(root)
    rows = {f"rotten_tomatoes {i}": {"text": f"{TEXT} {i}", "label": 1} for i in range(EXAMPLES)}
    store.write_texts("rotten_tomatoes", rows)
    return store


@pytest.fixture(scope="module")
def made(results, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "eee"
    said = convert(results, "every-eval-ever", folder, Options(organisation="Somebody")).lines
    assert "wrote 3 evaluations" in said[0] and "3 of them with their examples" in said[0]
    assert said[1] == "left out 1 cells that have no result"
    return folder


def logs(folder: Path) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each aggregate file with its examples."""
    found = []
    for path in sorted(folder.glob("data/*/*/*/*.json")):
        samples = path.with_name(f"{path.stem}_samples.jsonl")
        lines = [json.loads(line) for line in samples.read_text().splitlines()] if samples.exists() else []
        found.append((json.loads(path.read_text()), lines))
    return found


def test_its_validator_accepts_every_file(made):
    """With all that a contribution to the store must hold: paths, checksums, ranges, both files of each pair."""
    core = pytest.importorskip("every_eval_ever.validator.validation_core")
    assert not faults(core, made)


def test_its_validator_accepts_what_others_published(tmp_path):
    core = pytest.importorskip("every_eval_ever.validator.validation_core")
    from bench.importing import import_peft
    from tests.records.formats.peft_files import images, metamath, write

    import_peft(write(tmp_path / "files", metamath(), images()), tmp_path / "results")
    convert(RecordStore(tmp_path / "results"), "every-eval-ever", tmp_path / "eee")
    found = [log for log, _ in logs(tmp_path / "eee")]
    assert {log["source_metadata"]["source_type"] for log in found} == {"documentation"}
    assert {log["eval_library"]["version"] for log in found} == {"0.19.1"}
    assert not faults(core, tmp_path / "eee")


def faults(core: Any, folder: Path) -> list[Any]:
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert there
    reports = [
        core.validate_file(
            path, repo_path=name, available_files=frozenset(there), run_semantic_checks=True,
            read_repo_file=lambda other: there[other].read_text(encoding="utf-8"),
        )
        for name, path in there.items()
    ]  # fmt: skip
    return [fault for report in reports for fault in (*report.errors, *report.warnings)]


def test_a_score_has_its_standard_error_and_its_examples_average_to_it(results, made):
    by_cell = {record.id: record for record in results.records()}
    for log, lines in logs(made):
        record = by_cell[log["model_info"]["additional_details"]["cell"]]
        scored = {each["metric_config"]["metric_id"]: each["score_details"] for each in log["evaluation_results"]}
        accuracy = record.test["accuracy"]
        assert scored["accuracy"]["score"] == accuracy and scored["macro_f1"]["score"] == record.test["macro_f1"]
        error = scored["accuracy"]["uncertainty"]["standard_error"]["value"]
        assert error == pytest.approx(math.sqrt(accuracy * (1 - accuracy) / (EXAMPLES - 1)))
        assert "uncertainty" not in scored["macro_f1"], "of which nothing was kept by example"
        assert sum(line["evaluation"]["score"] for line in lines) / EXAMPLES == pytest.approx(accuracy)
        assert {line["evaluation_result_id"] for line in lines} == {"rotten_tomatoes.accuracy"}


def test_an_example_tells_text_and_choices_and_never_the_answer_before_it_is_asked(made):
    line = logs(made)[0][1][0]
    assert line["input"] == {"raw": f"{TEXT} 0", "reference": ["positive"], "choices": ["negative", "positive"]}
    assert line["output"]["raw"][0] in ("negative", "positive")
    assert line["evaluation"]["is_correct"] == (line["output"]["raw"][0] == "positive")
    recipe = json.dumps({"raw": f"{TEXT} 0", "reference": ["positive"]}, sort_keys=True, separators=(",", ":"))
    assert line["sample_hash"] == hashlib.sha256(recipe.encode()).hexdigest()


def test_it_says_which_model_on_which_data_by_which_library(made):
    log = logs(made)[0][0]
    details = log["model_info"]["additional_details"]
    assert details["base_model"] == "embedded:minilm-l6" and details["adapter_method"] in ("full", "lora")
    assert json.loads(details["adapter_hyperparameters"])["lr"] > 0
    assert log["source_metadata"]["source_organization_name"] == "Somebody"
    assert log["evaluation_results"][0]["source_data"]["additional_details"]["licence"] == "MIT (package)"
    assert log["eval_library"]["name"] == "adaptbench"


def test_the_same_cell_has_the_same_names_whenever_it_is_written(results, made, tmp_path):
    convert(results, "every-eval-ever", tmp_path / "again")
    assert [path.relative_to(tmp_path / "again") for path in sorted((tmp_path / "again").rglob("*"))] == [
        path.relative_to(made) for path in sorted(made.rglob("*"))
    ]


def test_without_texts_there_are_scores_alone(results, tmp_path):
    bare = synthetic_results.write_usual(tmp_path / "bare", seeds=1)
    synthetic_results.keep_answers(bare, EXAMPLES)
    convert(RecordStore(bare), "every-eval-ever", tmp_path / "eee")
    assert all(not lines and "detailed_evaluation_results" not in log for log, lines in logs(tmp_path / "eee"))


def test_other_metrics_have_other_ranges_and_bootstrapped_errors(tmp_path):
    """A regression's correlation, from -1, and an error without an upper bound; a mean over examples is neither."""
    of = synthetic_results.cell("lora", "stsb", 0)
    record = synthetic_results.record(of)
    record.test = {"pearson": -0.25, "rmse": 7.5, "mine": 0.5, "undefined": float("nan")}
    card = {"name": "stsb", "title": "STS-B", "kind": "regression", "metrics": [*record.test], "summary": "",
            "split": "", "licence": "", "citation": ""}  # fmt: skip
    root = synthetic_results.write(tmp_path / "results", [of], [record], cards={"tasks": {"stsb": card}})
    store, drawn = RecordStore(root), [0.1, 0.2, 0.3]
    answers = Predictions("regression", ["a", "b"], [1.0, 2.0], [1.5, 2.5], resampled={"pearson": drawn})
    record.kept["predictions.parquet"] = store.keep(record.id, "predictions.parquet", to_bytes(answers))
    store.write(record)
    convert(store, "every-eval-ever", tmp_path / "eee")
    [(log, lines)] = logs(tmp_path / "eee")
    assert not lines
    found = {each["metric_config"]["metric_id"]: each for each in log["evaluation_results"]}
    assert set(found) == {"pearson", "rmse", "mine"}
    bounds = {name: (c["min_score"], c["max_score"], c["lower_is_better"]) for name, each in found.items()
              for c in [each["metric_config"]]}  # fmt: skip
    assert bounds == {
        "pearson": (-1.0, 1.0, False), "rmse": (0.0, "Infinity", True), "mine": ("-Infinity", "Infinity", False),
    }  # fmt: skip
    uncertainty = found["pearson"]["score_details"]["uncertainty"]
    assert uncertainty["standard_error"] == {"value": pytest.approx(0.1), "method": "bootstrap"}
    assert uncertainty["num_bootstrap_samples"] == 3


@pytest.mark.parametrize(
    ("kind", "labels", "row", "given", "right", "said"),
    [
        ("tagging", ["O", "PER"], {"words": ["He", "ran"], "label": [1, 0]}, [0, 0], [1, 0],
         ('{"words": ["He", "ran"]}', ['["PER", "O"]'], '["O", "O"]', None)),
        ("multiple choice", [], {"text": "2 + 2", "choices": ["3", "4"], "label": 1}, 1, 1,
         ('{"text": "2 + 2", "choices": ["3", "4"]}', ["4"], "4", ["3", "4"])),
        ("generation", [], {"text": "say it", "targets": ["it", "that"]}, "it!", ["it", "that"],
         ("say it", ["it", "that"], "it!", None)),
        ("regression", [], {"text": "a", "text_pair": "b", "label": 2.5}, 2.0, 2.5,
         ('{"text": "a", "text_pair": "b"}', ["2.5"], "2.0", None)),
    ],
)  # fmt: skip
def test_examples_of_every_kind_have_question_reference_answer_and_choices(kind, labels, row, given, right, said):
    card = TaskCard("t", "T", kind, ("accuracy",), "", "", "", "", labels=tuple(labels))
    found = Predictions(kind, ["a"], [given], [right], scores={"accuracy": [0.5]})
    cell = synthetic_results.cell("lora", "t", 0)
    [line] = samples(cell, card, found, {"a": row}, {}, {"t.accuracy": "accuracy"})
    question, reference, answer, choices = said
    asked = {"raw": question, "reference": reference} | ({"choices": choices} if choices else {})
    assert line["input"] == asked and line["output"]["raw"] == [answer]
    assert line["answer_attribution"][0]["extracted_value"] == answer

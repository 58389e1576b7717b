"""Tasks from the hub, loaded by the genuine code of datasets from Parquet laid out as it is there."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tasks import commonsense, glue, mathematics, reading, superglue, tagging, text_classification
from tasks.hub import HubTask
from tests.hub.build import dataset, glue_rows, publish
from tests.hub.server import Hub

LOAD = """
import json
from importlib import import_module
from tasks.base import TaskUnavailable
for name in {names}:
    module, _, cls = name.partition(":")
    task = getattr(import_module(module), cls)()
    try:
        data = task.load()
        print("DONE", json.dumps([name, {{split: rows.to_list() for split, rows in data.items()}}, task.commits()]))
    except TaskUnavailable as error:
        print("ERROR", error)
"""


def report(done: subprocess.CompletedProcess[str]) -> list[str]:
    lines = [line for line in done.stdout.splitlines() if line.startswith(("DONE", "ERROR"))]
    assert lines, done.stdout + done.stderr
    return lines


def load(python, *tasks: type[HubTask], **environ: str) -> list[Any]:
    """For every task its splits as lists of rows; an error's text in place of those."""
    names = [f"{task.__module__}:{task.__name__}" for task in tasks]
    lines = report(python(LOAD.format(names=names), **environ))
    assert len(lines) == len(tasks)
    return [line.removeprefix("ERROR ") if line.startswith("ERROR") else json.loads(line[5:])[1] for line in lines]


def every(splits: tuple[str, ...], rows: list[dict]) -> dict[str, list[dict]]:
    return {split: rows for split in splits}


@pytest.mark.exhaustive
def test_glue_and_again_from_the_cache_once_the_hub_is_gone(rte: Hub, python):
    (splits,) = load(python, glue.RTE)
    assert splits["test"][3] == {"text": "held first 3", "text_pair": "second 3", "label": 1}
    assert len(splits["test"]) == 30, "the public validation set is the test set"
    texts = {split: {row["text"] for row in rows} for split, rows in splits.items()}
    assert len(texts["train"]) + len(texts["validation"]) == 400 and not texts["train"] & texts["validation"]
    assert 20 <= len(texts["validation"]) <= 60, "a tenth of 400, by a hash"
    assert not any("hidden" in text for found in texts.values() for text in found)
    fetched = [request for request in rte.requests if "/resolve/" in request and ".parquet" in request]
    assert fetched and all(glue.COMMIT in request for request in fetched)
    assert load(python, glue.RTE, HF_HUB_OFFLINE="1") == [splits]
    assert load(python, glue.RTE, HF_ENDPOINT="http://127.0.0.1:9") == [splits]


@pytest.mark.exhaustive
def test_errors(rte: Hub, python):
    rte.gated.add(glue.REPO)
    assert "access to the data set nyu-mll/glue is restricted, and there is no token" in load(python, glue.RTE)[0]
    rte.gated.clear()
    rte.pinned.clear()
    assert load(python, glue.RTE)[0].startswith("the data set nyu-mll/glue has no revision 'bcdcba79d07b")
    none = load(python, text_classification.AGNews)[0]
    assert none.startswith(
        "the hub has no data set fancyzhx/ag_news, or it is private; check the name, or set HF_TOKEN"
    )
    gone = load(python, glue.RTE, tagging.WNUT17, HF_ENDPOINT="http://127.0.0.1:9")
    assert "could not be fetched whole from http://127.0.0.1:9" in gone[0] and "bench run embedded" in gone[0]
    assert "leondz/wnut_17 (refs/convert/parquet) could not be fetched whole" in gone[1]
    assert "HF_HUB_OFFLINE forbids to fetch it" in load(python, glue.RTE, HF_HUB_OFFLINE="1")[0]


def test_collections(hub: Hub, python):
    """One task of every shape, each from rows as the hub has them."""
    passage = "Anna met Bob in Rome."
    spans = {"text": ["Anna", "Bob", "Rome"], "start": [0, 9, 16], "end": [4, 12, 20]}
    record = {
        "passage": passage, "query": "@placeholder met Bob.", "entities": ["Anna", "Bob", "Rome"],
        "entity_spans": spans, "answers": ["Anna"], "idx": {"passage": 0, "query": 0},
    }  # fmt: skip
    questions = [(question, answer) for question in (0, 1) for answer in (0, 1, 2)]
    multirc = [
        {"paragraph": passage, "question": f"Who {q}?", "answer": f"answer {a}", "label": int(a != q),
         "idx": {"paragraph": 0, "question": q, "answer": a}} for q, a in questions
    ]  # fmt: skip
    wsc = {"text": "Mark told Pete lies about himself , which he kept", "span1_index": 0, "span2_index": 8,
           "span1_text": "Mark", "span2_text": "he", "idx": 0, "label": 1}  # fmt: skip
    source = superglue.REPO
    configs = {"record": [record], "multirc": multirc, "wsc": [wsc]}
    columns = {
        config: {split: {key: [row[key] for row in rows] for key in rows[0]} for split in ("train", "validation")}
        for config, rows in configs.items()
    }
    dataset(hub.path("datasets", source), columns)
    hub.pinned[source] = superglue.COMMIT
    publish(hub, mathematics.GSM8K, every(
        ("train", "test"), [{"question": "Half of 48?", "answer": "48/2 = <<48/2=24>>24\n#### 24"}]))  # fmt: skip
    publish(hub, commonsense.WinoGrande, every(
        ("train", "validation"), [{"sentence": "Ann thanked Eve as _ had helped.", "option1": "Ann", "option2": "Eve",
                                   "answer": "2"}]))  # fmt: skip
    choices = {"text": ["air", "water"], "label": ["1", "2"]}
    publish(hub, commonsense.ARCEasy, every(
        ("train", "validation", "test"), [{"id": "x", "question": "Wet?", "choices": choices, "answerKey": "2"}]
    ))  # fmt: skip
    publish(hub, tagging.CoNLL2003, every(
        ("train", "validation", "test"), [{"tokens": ["Rome"], "ner_tags": [5]}, {"tokens": [], "ner_tags": []}]
    ))  # fmt: skip
    publish(hub, reading.SQuAD, every(
        ("train", "validation"), [{"question": "Who?", "context": passage, "title": "t",
                                   "answers": {"text": ["Anna"], "answer_start": [0]}}]))  # fmt: skip
    tasks = (superglue.ReCoRD, superglue.MultiRCLists, superglue.WSC, mathematics.GSM8K, commonsense.WinoGrande,
             commonsense.ARCEasy, tagging.CoNLL2003, reading.SQuAD)  # fmt: skip
    found = [splits if isinstance(splits, str) else splits["test"] for splits in load(python, *tasks)]
    assert found[0] == [{"text": "@placeholder met Bob.", "text_pair": passage, "answers": ["Anna"], "starts": [0]}]
    assert [row["targets"] for row in found[1]] == [["2, 3"], ["1, 3"]]
    assert found[1][0]["text"] == "Who 0?\n1. answer 0\n2. answer 1\n3. answer 2"
    assert found[2][0]["text"] == "Mark told Pete lies about himself , which * he * kept"
    assert found[3] == [{"text": "Half of 48?", "targets": ["48/2 = 24\n#### 24"]}]
    assert found[4] == [{"text": "Ann thanked Eve as", "choices": ["Ann had helped.", "Eve had helped."], "label": 1}]
    assert found[5] == [{"text": "Wet?", "choices": ["air", "water"], "label": 1}]
    assert found[6] == [{"words": ["Rome"], "label": [5]}], "an empty sentence is left out"
    assert found[7] == [{"text": "Who?", "text_pair": passage, "answers": ["Anna"], "starts": [0]}]


def test_metamath_divides_no_problem_between_train_and_validation(hub: Hub, python):
    rows = [
        {"query": f"rephrased {i} {version}", "response": "The answer is: 1", "original_question": f"original {i}",
         "type": "MATH_AnsAug" if i % 10 == 0 else "GSM_Rephrased"} for i in range(100) for version in (0, 1)
    ]  # fmt: skip
    publish(hub, mathematics.MetaMath, {"train": rows})
    publish(
        hub,
        mathematics.GSM8K,
        {"train": [{"question": "q", "answer": "#### 1"}], "test": [{"question": "q2", "answer": "#### 2"}]},
    )
    (splits,) = load(python, mathematics.MetaMath)
    originals = {split: {row["text"].split()[1] for row in splits[split]} for split in ("train", "validation")}
    assert originals["train"] | originals["validation"] == {str(i) for i in range(100) if i % 10}
    assert originals["validation"] and not originals["train"] & originals["validation"]
    assert splits["test"] == [{"text": "q2", "targets": ["#### 2"]}]


def test_a_branch_is_resolved_and_its_commit_told(hub: Hub, python):
    publish(hub, tagging.WNUT17, every(("train", "validation", "test"), [{"tokens": ["a"], "ner_tags": [0]}]))
    lines = report(python(LOAD.format(names=["tasks.tagging:WNUT17"])))
    assert json.loads(lines[0][5:])[2] == {"leondz/wnut_17": hub.sha("datasets", "leondz/wnut_17")}
    assert report(python(LOAD.format(names=["tasks.tagging:WNUT17"]), HF_HUB_OFFLINE="1")) == lines


def test_a_test_example_planted_in_train_is_removed_and_counted(hub: Hub, python):
    planted = [row | {"sentence1": row["sentence1"].upper()} for row in glue_rows(7, mark="held")]
    publish(hub, glue.RTE, {"train": glue_rows(50) + planted, "validation": glue_rows(30, mark="held")})
    code = (
        "from bench.tokenising import _checked\nfrom tasks.glue import RTE\ndata, removed = _checked(RTE())\n"
        "print('DONE', removed, len(data['train']) + len(data['validation']), len(data['test']),"
        " any(text.startswith('HELD') for split in ('train', 'validation') for text in data[split]['text']))"
    )
    assert report(python(code)) == ["DONE 7 50 30 False"]


def test_rows_without_a_label_are_refused_and_rows_left_out_are_counted(hub: Hub, python):
    """As the unlabelled test sets of GLUE are, were they taken for labelled ones."""
    publish(hub, glue.RTE, {"train": glue_rows(50), "validation": [*glue_rows(3, mark="held"), {
        "sentence1": "a", "sentence2": "b", "label": -1, "idx": 3}]})  # fmt: skip
    rows = [{"tokens": ["Rome"], "ner_tags": [5]}, {"tokens": [], "ner_tags": []}]
    publish(hub, tagging.CoNLL2003, every(("train", "validation", "test"), rows))
    code = (
        "from bench.contract import DataError\nfrom bench.tokenising import _checked\nfrom tasks.glue import RTE\n"
        "from tasks.tagging import CoNLL2003\n"
        "try:\n    _checked(RTE())\nexcept DataError as error:\n    print('ERROR', error)\n"
        "task = CoNLL2003()\ntask.load()\nprint('DONE', task.load() and task.dropped())"
    )
    assert report(python(code)) == [
        "ERROR task rte: load()['test'][3]['label'] is -1; the card has 2 labels, which are counted from 0",
        "DONE {'sentences without a word': 3}",
    ]

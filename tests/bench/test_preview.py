"""What a preview shows is what trains: held against the ids that a model's embeddings were asked for."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from rich.console import Console

from bench.backbones import Backbone
from bench.job import Job
from bench.lifeline import silent
from bench.previewing.commands import show
from bench.previewing.looking import Preview, previews
from bench.step import PhaseTrainer
from bench.suite import Suite
from bench.tokenising import TaskRows
from bench.worker import CellRun
from records.cell import Cell
from records.record import Record
from tasks.tables import FORMATS
from tests.conftest import PLUGINS

STEPS = 3


class Enough(Exception):
    """So many training steps."""


@pytest.fixture
def suite_of(tmp_path: Path, monkeypatch, tests_cache: Path) -> Callable[..., Suite]:
    """A suite with small batches, around a backbone."""
    monkeypatch.setenv("BENCH_CACHE", str(tests_cache))

    def make(backbone: Path | str, *tasks: str, **keys: Any) -> Suite:
        given = {
            "backbones": [str(backbone)], "tasks": {task: {} for task in tasks}, "methods": {"full": {"lr": 1e-3}},
            "seeds": [0], "precision": "no", "plugins": [str(PLUGINS / "kinds.py"), str(PLUGINS / "colours.py")],
            "budget": {"train_examples": 60, "validation_examples": 20, "test_examples": 20, "batch_size": 4,
                       "max_length": 16, "max_target_length": 10},
        }  # fmt: skip
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump(given | keys, sort_keys=False))
        return Suite.load(str(path))

    return make


def stripped(row: list[int], pad: int) -> list[int]:
    """Without the padding on either side; what pads may be a token of the text, too."""
    places = [place for place, id in enumerate(row) if id != pad]
    return row[places[0] : places[-1] + 1] if places else []


def reads_of_training(cell: Cell, suite: Suite, folder: Path, monkeypatch, count: int) -> list[list[list[int]]]:
    """The rows of ids, padding left out, that the embeddings are asked for in each of the first training steps."""
    steps: list[list[list[int]]] = []
    backward = PhaseTrainer.backward

    def watched(trainer: PhaseTrainer, batch: dict[str, Any]) -> torch.Tensor:
        if len(steps) == count:
            raise Enough
        read: list[list[int]] = []

        def note(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            read.extend(stripped(row, trainer.form.pad) for row in inputs[0].tolist())

        model = trainer.anatomy.model
        words = model.get_input_embeddings().num_embeddings
        tables = [each for each in model.modules() if getattr(each, "num_embeddings", 0) == words]
        hooks = [table.register_forward_pre_hook(note) for table in tables]
        found = backward(trainer, batch)
        for hook in hooks:
            hook.remove()
        steps.append(read)
        return found

    monkeypatch.setattr(PhaseTrainer, "backward", watched)
    record = Record(id=cell.id, cell=cell, status="failed", started="", finished="", wall_seconds=0)
    AcceleratorState._reset_state(reset_partial_state=True)  # that of another cell, perhaps in another precision
    job = Job(cell, "train", folder, suite.path.parent, suite.plugin_files(cell), 1)
    with silent() as line, pytest.raises(Enough):
        CellRun(job, line).train(record)
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr(PhaseTrainer, "backward", backward)
    return steps


def expected(found: Preview, roles: dict[str, list[int]], start: int | None) -> list[list[int]]:
    """The rows that a model reads of an example with such ids."""
    if "prompt" not in roles:
        return list(roles.values())
    answered = roles["answer"][:-1]  # the last token is predicted, and never read
    if start is not None:
        return [roles["prompt"], [start, *answered]]
    return [[*roles["prompt"], *answered]]


def printed(found: Preview) -> str:
    out = io.StringIO()
    show(Console(file=out, width=200), found)
    return out.getvalue()


def ids_of(lines: str, convert: Callable[[list[str]], list[int]]) -> list[dict[str, list[int]]]:
    """What is printed of each example, as ids by role."""
    examples: list[dict[str, list[int]]] = []
    for line in lines.splitlines():
        if line.startswith("  example "):
            examples.append({})
        elif (part := re.fullmatch(r"    ([a-z]+(?: \d+)?) \((\d+)\): (.*)", line)) and part[1] != "label":
            examples[-1][part[1]] = convert(part[3].split(" "))
            assert len(examples[-1][part[1]]) == int(part[2])
    return examples


CASES = [
    ("encoder", "colours", "head"), ("encoder", "warmth", "head"), ("encoder", "tags", "head"),
    ("encoder", "choose", "head"), ("encoder", "find", "head"), ("encoder", "mixture:colours+choose", "head"),
    ("decoder", "colours", "head"), ("decoder", "colours", "text"), ("decoder", "choose", "text"),
    ("decoder", "say", "text"), ("decoder", "go", "text"), ("encoder-decoder", "say", "text"),
    ("encoder-decoder", "colours", "text"),
]  # fmt: skip


@pytest.mark.parametrize(("backbone", "task", "form"), CASES)
def test_the_tokens_printed_are_those_that_train(
    backbones, suite_of, tmp_path: Path, monkeypatch, backbone: str, task: str, form: str
):
    suite = suite_of(backbones[backbone], task, form=form)
    check(suite, tmp_path, monkeypatch)


def check(suite: Suite, folder: Path, monkeypatch, steps: int = STEPS) -> None:
    """Of every backbone and task, the examples printed are read in the steps whose batches they are of."""
    shown = {(found.backbone, found.task): found for found in previews(suite, count=steps)}
    trained = {}
    for cell in suite.cells.values():
        own = suite.axes.methods[cell.label].method
        if own.phases() and not own.extra_positions and len(own.phases()) == 1:
            trained.setdefault((cell.backbone, cell.task), cell)
    assert trained.keys() == shown.keys()
    for key, cell in trained.items():
        found, backbone = shown[key], suite.axes.backbones[cell.backbone]
        config, tokenizer = backbone.configuration(), backbone.tokenizer()
        start = config.decoder_start_token_id if config.is_encoder_decoder and cell.form == "text" else None
        examples = ids_of(printed(found), tokenizer.convert_tokens_to_ids)
        assert len(examples) == steps
        for example, read in zip(examples, reads_of_training(cell, suite, folder, monkeypatch, steps), strict=True):
            for row in expected(found, example, start):
                assert stripped(row, tokenizer.pad_token_id) in read


def test_so_it_is_of_a_file_of_each_format(backbones, suite_of, tmp_path: Path, monkeypatch):
    frame = pd.DataFrame({"text": [f"red house {i} the sky" for i in range(60)], "label": [i % 2 for i in range(60)]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.tsv", sep="\t", index=False)
    frame.to_json(tmp_path / "c.json", orient="records")
    frame.to_json(tmp_path / "d.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "e.parquet")
    frame.to_excel(tmp_path / "f.xlsx", index=False)
    names = ["a.csv", "b.tsv", "c.json", "d.jsonl", "e.parquet", "f.xlsx"]
    assert {Path(name).suffix for name in names} | {".ndjson"} == set(FORMATS)
    suite = suite_of(backbones["encoder"], *(f"files:{name}" for name in names))
    check(suite, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("embedded", marks=pytest.mark.exhaustive),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("quick", "embedded-large", "families", "masks", "decoder")
        ),
    ],
)
def test_so_it_is_of_every_built_in_suite_that_needs_no_hub(tmp_path: Path, monkeypatch, name: str):
    """Their tuned versions have the same tasks."""
    check(Suite.load(name), tmp_path, monkeypatch, steps=1)


def csv(folder: Path, **files: list[tuple[str, object]]) -> None:
    for name, rows in files.items():
        lines = "".join(f'"{text}",{label}\n' for text, label in rows)
        (folder / f"{name}.csv").write_text(f"text,label\n{lines}")


def test_what_is_suspicious_is_said_in_a_line(backbones, suite_of, tmp_path: Path):
    """The tiny tokenizer knows single digits and colours, and reads a word that has another sign as unknown."""
    train = [(f"red house {i}", "a" if i % 10 else "b") for i in range(80)]
    train += [(f"sky {' '.join(str(i))} " + "tree " * 30, "a") for i in range(20)]
    train += [("blue bird", "b"), ("green ☃ sky", "a")]
    test = [("blue bird", "b"), ("blue house ☃", "a"), ("road 7", "a"), ("green ☂ sky", "a")]
    csv(tmp_path, train=train, validation=[(f"the road {i}", "a") for i in range(5)], test=test)
    budget = {"train_examples": 500, "validation_examples": 100, "test_examples": 100, "max_length": 16}
    [found] = previews(suite_of(backbones["encoder"], "files:.", budget=budget))
    assert found.warnings == [
        "1 rows of train stand in validation or test too, and are left out of train",
        "train: 20% of the texts are cut at 16 tokens; 95 % of them take no more than 33 tokens",
        "train: classes are imbalanced: 93 examples of 'a', 8 of 'b'; accuracy alone would mislead",
        "validation: no example of 'b' among its 5",
        "test: 20.0% of the tokens are unknown to the tokenizer",
        "train: the budget asks for 500 examples, and there are 101",
        "examples that stand in a later split too, and are left out of the earlier one: 1",
        "test: 1 of its 4 examples read, token for token, as one of train does: what tells them apart is cut, or "
        "unknown to the tokenizer",
    ]


def test_figures_are_those_of_the_texts(backbones, suite_of, tmp_path: Path):
    """A text of n words is of n tokens here: nothing begins or ends it."""
    lengths = [1, 2, 3, 4, 20]
    train = [(" ".join([colour] * length), i % 2) for i, colour in enumerate(["red", "blue"]) for length in lengths]
    csv(tmp_path, train=train, validation=[("house", 0), ("tree", 1)], test=[("sky road", 0), ("sky ☃", 1), ("☃", 1)])
    [found] = previews(suite_of(backbones["encoder"], "files:."), count=20)
    split = found.splits["train"]
    assert (split.there, split.used, split.cut, split.lengths) == (10, 10, 0.2, (1, 3, 20, 20))
    assert split.labels == {"0": 5, "1": 5}
    assert found.splits["test"].unknown == pytest.approx(2 / 5)
    assert sorted(example.left_out for example in found.examples) == [0] * 8 + [4] * 2
    assert {example.text for example in found.examples} == {text for text, _ in train}


def test_no_weights_are_loaded_and_hostile_texts_are_shown_as_characters(
    backbones, suite_of, tmp_path: Path, bench, monkeypatch
):
    hostile = "[red]\x1b]0;title\x07 \x1b[31m \u202e red\r"
    csv(
        tmp_path,
        a=[(f"{hostile} house tree bird road {' '.join(str(i))}", "[bold]x" if i % 2 else "y") for i in range(80)],
    )
    suite_of(backbones["encoder"], "files:a.csv")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a preview loads no weights")

    monkeypatch.setattr(Backbone, "load", refuse)
    done = bench("preview", tmp_path / "suite.yaml", "--examples", 2)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout) & {"\x1b", "\x07", "\r", "\u202e"}
    assert "[red]\\x1b]0;title\\x07" in done.stdout and "label: " in done.stdout and "[bold]x" in done.stdout
    assert done.stdout.count("  example ") == 2


def test_a_task_that_cannot_be_read_is_one_line_and_the_others_are_shown(backbones, suite_of, tmp_path: Path, bench):
    (tmp_path / "bad.py").write_text(
        "from tasks.base import Task, Card\n\nclass Bad(Task):\n"
        "    card = Card('bad', 'Bad', 'classification', ('accuracy',), '', '', '', '', '', ('a', 'b'))\n"
        "    def load(self):\n        return {}['gone']\n    def score(self, *_):\n        return {}\n"
    )
    suite_of(backbones["encoder"], "bad", "colours", plugins=["bad.py", str(PLUGINS / "colours.py")])
    done = bench("preview", tmp_path / "suite.yaml")
    assert done.returncode == 1
    assert "cannot be read: KeyError: 'gone'" in done.stdout
    assert "colours on " in done.stdout and "example 3" in done.stdout and "Traceback" not in done.stderr
    refused = bench("preview", tmp_path / "suite.yaml", "--task", "colour")
    assert refused.returncode == 1
    assert refused.stderr == "bench: --task: suite has no task 'colour'; it has bad, colours\n"


def test_answers_beyond_the_cut_are_counted(backbones, suite_of):
    """Two tokens ask, and every word of the passage is one: six of them are read."""
    suite = suite_of(backbones["encoder"], "find", budget={"train_examples": 200, "max_length": 8})
    [found] = previews(suite)
    entry = suite.axes.tasks["find"]
    train = TaskRows.of(entry.task, entry.plugin.revision).split("train")
    beyond = sum(row["text_pair"].split().index(row["answers"][0]) >= 6 for row in train)
    assert found.splits["train"].lost == beyond > 0
    assert f"train: {beyond} answers lie beyond the cut" in found.warnings


def test_what_does_not_apply_and_what_methods_add_is_said(backbones, suite_of):
    methods = {"few_shot": {"shots": 2}, "prompt_tuning": {"lr": 0.1}}
    [found] = previews(suite_of(backbones["encoder"], "colours", form="text"))
    assert found.reason == "does not apply: the backbone is an encoder, which has no text to answer with"
    [found] = previews(suite_of(backbones["decoder"], "colours", form="text", methods=methods))
    assert found.reason is None
    assert [
        note for note in found.notes if note.startswith(("few_shot puts 2", "prompt_tuning puts 20"))
    ] == found.notes

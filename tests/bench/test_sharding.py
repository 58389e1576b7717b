"""A cell whose processes divide the backbone's weights: what one process gets, with half of them on each."""

from __future__ import annotations

import faulthandler
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM

from bench import ranks, sharding, worker
from bench.data import IDLE, MICRO_BATCHES, in_micro_batches
from bench.failures import failure
from bench.job import Job
from bench.launchers import processes
from bench.lifeline import Lifeline, silent
from bench.suite import Suite
from bench.worker import CellRun
from methods.anatomy import Anatomy
from records import predictions
from records.record import Record
from records.store import RecordStore
from tests.bench.test_records import cell, record
from tests.conftest import PLUGINS, read_records
from tests.methods import tiny

CPU = torch.device("cpu")


def in_ranks(folder: Path, part: Callable[[Job, Lifeline], Any], job: Job | None = None) -> list[Any]:
    """What two ranks of a cell find, as JSON has it."""
    store = RecordStore(folder / "results")
    job = job or Job(cell(), "train", store.root, folder, (), 2, processes=2, shard=True)
    store.make_room(job.cell.id)

    def work(job: Job, line: Lifeline, threads: int) -> None:
        faulthandler.dump_traceback_later(
            300, exit=True, file=sys.__stderr__
        )  # ranks that wait for each other for ever
        AcceleratorState._reset_state(reset_partial_state=True)  # of the process that was forked
        torch.set_num_threads(1)
        (folder / f"{ranks.own()}.json").write_text(json.dumps(part(job, line)))
        if ranks.may_write("trained", None):
            store.write(record(job.cell, status="trained", test={"accuracy": 1.0}))

    listens, speaks = Pipe(duplex=False)
    with listens, speaks:
        processes.run(work, job, speaks, threads=2)
    assert store.read(job.cell.id).reason is None
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


# What trains, or replaces, the backbone's own weights.
REFUSED = {
    "full": "nearly all of them are trained",
    "lt_sft": "nearly all of them are trained",
    "fish_mask": "nearly all of them are trained",
    "qlora": "in four bits",
    "random_mask": "changes single entries",
    "spiel": "changes single entries",
    "diff_pruning": "changes single entries",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_method_that_leaves_no_weights_to_divide_is_refused_in_a_line(name):
    model = tiny.tiny("bert")
    anatomy = Anatomy(model, tiny.head_of(model))
    tiny.METHODS[name].adapt(anatomy, tiny.TASK)
    with pytest.raises(sharding.NotShardable, match=REFUSED[name]) as refused:
        sharding.shard(anatomy, CPU)
    assert "run it without shard" in str(refused.value)
    assert not any(isinstance(parameter, DTensor) for parameter in model.parameters())


def gap(name: str, architecture: str) -> tuple[float, float]:
    """The largest difference that sharding makes to a gradient, relative to the gradients' size, and the share of the
    frozen weights of layers that this rank still holds."""
    torch.manual_seed(0)
    model = tiny.tiny(architecture)
    anatomy = Anatomy(model, tiny.head_of(model))
    tiny.METHODS[name].adapt(anatomy, tiny.TASK)
    tiny.perturb(tiny.trainable(model).items())
    model.eval()

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model(**tiny.batch(architecture, seed=1), labels=torch.tensor([0, 1, 2])).loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    whole = gradients()
    frozen = [p for layer in anatomy.layers for p in layer.module.parameters() if not p.requires_grad]
    size = sum(p.numel() for p in frozen)
    sharding.shard(anatomy, CPU)
    twice = [gradients(), gradients()]
    assert all(found.keys() == whole.keys() for found in twice)
    scale = max(value.abs().max() for value in whole.values())
    apart = max((found[name] - whole[name]).abs().max() / scale for found in twice for name in whole)
    divided = {p for layer in anatomy.layers for p in layer.module.parameters() if ranks.is_divided(p)}
    return float(apart), sum(p.to_local().numel() for p in divided) / size


# A method of every composition and family.
SOME = [
    ("lora", "llama"), ("lora", "albert"), ("pissa", "gpt2"), ("dora", "bert"), ("houlsby", "t5"), ("ia3", "bart"),
    ("prefix_tuning", "bert"), ("prompt_tuning", "llama"), ("hyperformer", "bert"), ("bitfit", "bert"),
    ("head", "llama"),
]  # fmt: skip


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(SOME, id="some"),
        pytest.param(
            [pair.values for pair in tiny.PAIRS if pair.values[0] not in REFUSED and not pair.marks],
            id="crossing",
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_gradients_are_those_of_whole_weights_of_which_each_rank_holds_half(tmp_path, pairs):
    for found in in_ranks(tmp_path, lambda job, line: [gap(*pair) for pair in pairs]):
        for pair, (apart, share) in zip(pairs, found, strict=True):
            assert apart < 1e-5, pair
            assert share == pytest.approx(0.5, abs=0.01), pair


def test_tables_of_words_are_divided_unless_two_modules_share_them(tmp_path):
    def part(job: Job, line: Lifeline) -> dict[str, list[bool]]:
        found = {}
        for tied in (False, True):
            config = LlamaConfig(**tiny.CONFIGS["llama"], tie_word_embeddings=tied)
            model = LlamaForCausalLM(config)
            anatomy = Anatomy(model, ())
            anatomy.freeze()
            sharding.shard(anatomy, CPU)
            tables = model.get_input_embeddings(), model.get_output_embeddings()
            found["tied" if tied else "apart"] = [ranks.is_divided(table.weight) for table in tables]
        return found

    assert in_ranks(tmp_path, part) == [{"tied": [False, False], "apart": [True, True]}] * 2


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("tasks", ["aaaaa", "a", "aaaabaa", "abcabca", "b" + 11 * "a"])
def test_all_ranks_make_as_many_passes_in_each_micro_batch(monkeypatch, count, tasks):
    """Of a mixture's batch, one for each of its tasks: what a rank lacks it makes up for."""
    monkeypatch.setattr(ranks, "count", lambda: count)
    rows = [{"row": number, "task": task} for number, task in enumerate(tasks)]
    passes, seen = [], []
    for rank in range(count):
        monkeypatch.setattr(ranks, "own", lambda r=rank: r)
        batch = in_micro_batches(lambda rows: {"rows": rows}, rows, 2)
        passes.append([])
        for own, idle in zip_longest(batch[MICRO_BATCHES], batch[IDLE], fillvalue=()):
            mine = own["rows"] if own else []
            seen += [row["row"] for row in mine]
            passes[-1].append(len({row["task"] for row in mine}) + len(idle["rows"] if idle else []))
    assert passes == [passes[0]] * count
    assert sorted(seen) == list(range(len(rows)))


# The last batch of an epoch has one example, which one rank of two has and the other has not; and it is asked about
# three batches.
BUDGET = {
    "train_examples": 17, "validation_examples": 33, "test_examples": 19, "epochs": 2, "batch_size": 8,
    "micro_batch": 3, "max_length": 48, "max_target_length": 6,
}  # fmt: skip


def outcome(job: Job, line: Lifeline) -> dict[str, Any]:
    """What comes of training and testing a cell, as its record has it, and what it answered."""
    answers: Sequence[Any] = []
    found = Record(id=job.cell.id, cell=job.cell, status="failed", attempts=1, started="", finished="", wall_seconds=0)
    try:
        run = CellRun(job, line)
        found.environment = run.environment()
        kept = run.train(found)
        answers = predictions.from_bytes(kept.files["predictions.parquet"]).predictions
    except Exception as error:
        found.reason = failure(error)
    # Of a language model they are likelihoods, which are rounded.
    said = [answer for answer in answers if not isinstance(answer, float)]
    return json.loads(found.model_dump_json()) | {"answers": json.loads(json.dumps(said))}


@pytest.fixture
def jobs(tmp_path: Path, backbones: dict[str, Path], tests_cache: Path, monkeypatch) -> Callable[..., list[Job]]:
    """Those of a suite's cells, on a backbone without dropout: what that draws depends on how a batch is divided."""
    monkeypatch.setenv("BENCH_CACHE", str(tests_cache))

    def make(backbone: str, budget: dict[str, Any] | None = None, **keys: Any) -> list[Job]:
        folder = shutil.copytree(backbones[backbone], tmp_path / backbone)
        config = json.loads((folder / "config.json").read_text())
        config |= dict.fromkeys(("attention_probs_dropout_prob", "attention_dropout"), 0.0)
        (folder / "config.json").write_text(json.dumps(config))
        plugins = [str(PLUGINS / f"{name}.py") for name in ("colours", "kinds", "ranks_apart")]
        suite = {"backbones": [str(folder)], "seeds": [0], "precision": "no", "profile": False, "plugins": plugins}
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump(suite | {"budget": BUDGET | (budget or {})} | keys))
        read = Suite.read(path)
        return [
            Job(cell, "train", tmp_path / "results", tmp_path, read.plugin_files(cell), 2, processes=2, shard=True)
            for cell in read.cells.values()
        ]

    return make


def compare(folder: Path, jobs: list[Job]) -> None:
    """What two ranks find that divide the weights is what one process finds."""
    shared = in_ranks(folder, lambda _, line: [outcome(job, line) for job in jobs], jobs[0])
    AcceleratorState._reset_state(reset_partial_state=True)
    with silent() as line:
        alone = [outcome(replace(job, processes=1, shard=False), line) for job in jobs]
    AcceleratorState._reset_state(reset_partial_state=True)
    for one, two, other in zip(alone, *shared, strict=True):
        name = f"{one['cell']['label']} {one['cell']['task']}"
        assert (one["status"], one["reason"]) == (two["status"], two["reason"]) == ("trained", None), name
        assert two["environment"]["sharded"] and "sharded" not in one["environment"]
        assert two["history"] == other["history"], name
        assert [set(row) for row in one["history"]] == [set(row) for row in two["history"]]
        for here, there in zip(one["history"], two["history"], strict=True):
            for key in ("train_loss", "validation_loss"):
                assert there[key] == pytest.approx(here[key], abs=1e-5), name
        assert two["test"] == other["test"] == pytest.approx(one["test"], rel=1e-5), name
        assert one["answers"] == two["answers"] == other["answers"]
        assert two["forgetting"] == pytest.approx(one["forgetting"], abs=1e-5)
        for key in ("parameters", "data", "best_step"):
            assert one[key] == two[key], name


def test_a_decoder_that_generates_answers_as_in_one_process(jobs, tmp_path):
    compare(tmp_path, jobs("decoder", tasks=["say"], methods=["lora"], form="text"))


FAMILIES = ["lora", "houlsby", "ia3", "prefix_tuning", "prompt_tuning", "hyperformer", "head", "adalora", "pissa"]


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("backbone", "keys"),
    [
        ("encoder", {"tasks": ["colours"], "methods": FAMILIES}),
        ("encoder", {"tasks": ["tags", "find"], "methods": ["lora"], "budget": {"activation_checkpointing": True}}),
        ("encoder", {"tasks": ["mixture:colours+choose"], "methods": ["hyperformer_pp", "lora"]}),
        ("decoder", {"tasks": ["colours", "go"], "methods": ["lora", "prompt_tuning", "zero_shot"], "form": "text",
                     "forgetting": "go"}),
        ("encoder-decoder", {"tasks": ["say", "choose"], "methods": ["lora", "hyperdecoder"], "form": "text"}),
    ],
)  # fmt: skip
def test_a_cell_finds_what_it_finds_in_one_process(jobs, tmp_path, backbone, keys):
    compare(tmp_path, jobs(backbone, **keys))


def test_a_method_that_takes_the_weights_later_is_refused_in_a_line(jobs, tmp_path):
    asked = jobs("encoder", tasks=["colours"], methods=["thaws", "writes_beside"])
    for found in in_ranks(tmp_path, lambda _, line: [outcome(job, line) for job in asked], asked[0]):
        thaws, writes = (each["reason"] for each in found)
        assert thaws == str(sharding.NotShardable("a later phase of the method trains some that are frozen at first"))
        assert writes.startswith("its processes cannot divide the backbone's weights: the method reads or writes them")


def test_a_rank_that_fails_ends_the_others_that_wait_for_its_shares(jobs, tmp_path):
    (job,) = jobs("encoder", tasks=["colours"], methods=["raises_on_one_frozen"])

    def work(job: Job, line: Lifeline, threads: int) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        worker.run(job, line, threads)

    store = RecordStore(job.results)
    store.make_room(job.cell.id)
    listens, speaks = Pipe(duplex=False)
    with listens, speaks:
        processes.run(work, job, speaks, threads=2)
    found = store.read(job.cell.id)
    assert (found.status, found.reason) == ("failed", "process 2 of 2: RuntimeError: the flux capacitor is empty")
    assert found.environment["sharded"] is True


@pytest.mark.exhaustive
def test_shard_is_how_a_cell_is_run_and_no_part_of_it(bench, write_suite, tmp_path):
    suite = write_suite(methods={"lora": {"rank": 2}, "full": {}})
    ended = bench("run", suite, "--processes", 2, "--shard", "--slots", 1)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    found = {each["cell"]["label"]: each for each in read_records(tmp_path / "results" / "tiny").values()}
    assert found["lora"]["status"] == "trained" and found["lora"]["environment"]["sharded"]
    assert found["full"]["status"] == "failed" and "run it without shard" in found["full"]["reason"]
    # Which is what a person then does: the one that is there stays, the other is run.
    assert bench("run", suite).returncode == 0
    after = {each["cell"]["label"]: each for each in read_records(tmp_path / "results" / "tiny").values()}
    assert after["lora"] == found["lora"]
    assert after["full"]["status"] == "trained" and after["full"]["id"] == found["full"]["id"]

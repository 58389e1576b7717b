"""Whole runs from the command line, on a tiny backbone: what a user sees, and what survives what."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from bench.launchers.base import Slot
from bench.launchers.local import LocalLauncher
from bench.resolved_suite import ResolvedSuite
from bench.scheduler import Scheduler
from bench.suite import Suite
from records.store import RecordStore
from tests.bench.test_scheduler import Listener
from tests.conftest import PLUGINS, bench_command, bench_environ, read_records, scores, wait_until

FAULTY = [str(PLUGINS / "colours.py"), str(PLUGINS / "faulty.py")]


@pytest.fixture
def start(tmp_path):
    """Starts the command line and leaves it running."""
    processes = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            bench_command(*arguments), cwd=tmp_path, env=bench_environ(tmp_path), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def worker_of(process: subprocess.Popen) -> psutil.Process | None:
    """The process that runs a cell: a child of the server from which workers are forked."""
    with contextlib.suppress(psutil.NoSuchProcess):  # a child may end while it is looked at
        for child in psutil.Process(process.pid).children():
            if workers := child.children():
                return workers[0]
    return None


def finished(results: Path) -> dict[str, float]:
    """The cells that have scores, and how long each trained: no two trainings take the same time."""
    return {
        cell_id: record["wall_seconds"]
        for cell_id, record in read_records(results).items()
        if record["status"] in ("trained", "ok")
    }


@pytest.fixture
def long_suite(write_suite):
    """Six cells of a few seconds each."""
    return write_suite(
        methods={"head": {}, "slow": {}, "slow@twice": {"pause": 0.1}}, seeds=[0, 1], plugins=FAULTY
    )  # fmt: skip


def test_a_run_leaves_complete_records_and_a_second_runs_nothing(bench, write_suite, tmp_path):
    suite = write_suite(profile="brief")
    first = bench("run", suite)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "tiny: 2 cells (1 backbone × 2 methods × 1 task × 1 seed): 0 done, 2 open" in first.stdout
    results = tmp_path / "results" / "tiny"
    records = read_records(results)
    assert len(records) == 2
    for record in records.values():
        assert record["status"] == "ok"
        assert record["data"] == {
            "train": 64, "validation": 40, "test": 60, "duplicates_removed": 0, "steps": 16,
            "train_tokens": record["data"]["train_tokens"], "commits": {}, "dropped": record["data"]["dropped"],
            "unknown_tokens": record["data"]["unknown_tokens"], "unasked": 0,
        }  # fmt: skip
        assert set(record["test"]) == {"accuracy", "f1_macro"}
        assert [e["step"] for e in record["history"]] == [8, 16]
        assert record["environment"]["versions"]["torch"]
        cost = record["cost"]
        for figure in ("peak_memory_bytes", "weights_bytes", "gradient_bytes", "optimizer_bytes", "activation_bytes",
                       "train_tokens_per_second", "step_seconds", "inference_seconds", "train_flops"):  # fmt: skip
            assert cost[figure] > 0, figure
    stamps = {path: path.stat().st_mtime_ns for path in results.glob("cells/*/record.json")}
    second = bench("run", suite)
    assert second.returncode == 0
    assert "2 finished before" in second.stdout and "2 done, 0 open" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in results.glob("cells/*/record.json")} == stamps


def test_a_record_keeps_where_it_was_trained_when_its_cost_is_profiled_elsewhere(bench, write_suite, tmp_path):
    assert bench("run", write_suite(methods=["head"], profile=False)).returncode == 0
    [path] = (tmp_path / "results" / "tiny").glob("cells/*/record.json")
    record = json.loads(path.read_text())
    assert record["status"] == "trained"
    here = record["environment"]["processor"]
    record["environment"] |= {"processor": "another machine's", "threads": 64}
    path.write_text(json.dumps(record))
    assert bench("run", write_suite(methods=["head"], profile="brief")).returncode == 0
    profiled = json.loads(path.read_text())
    assert profiled["status"] == "ok"
    assert profiled["environment"] == record["environment"]
    assert profiled["profiled"].pop("threads") != 64
    assert profiled["profiled"] == {"processor": here}


def test_full_fine_tuning_learns_what_the_head_alone_cannot(bench, write_suite, tmp_path):
    budget = {"train_examples": 400, "validation_examples": 80, "test_examples": 100, "epochs": 8, "batch_size": 16}
    assert (
        bench("run", write_suite(methods={"full": {"lr": 3e-3}, "head": {}}, budget=budget, profile=False)).returncode
        == 0
    )
    accuracy = {
        record["cell"]["label"]: record["test"]["accuracy"]
        for record in read_records(tmp_path / "results" / "tiny").values()
    }
    assert accuracy["full"] > 0.95
    assert accuracy["head"] < accuracy["full"] - 0.1


def test_the_same_seed_gives_the_same_metrics(bench, bench_process, write_suite, tmp_path):
    """Also from workers of another server, in which strings have other hashes."""
    suite = write_suite(profile=False)
    assert bench("run", suite, "--results", "first").returncode == 0
    assert bench_process("run", suite, "--results", "second").returncode == 0
    assert scores(tmp_path / "first") == scores(tmp_path / "second")


def test_what_goes_wrong_is_recorded_with_its_reason_and_the_rest_goes_on(bench, write_suite, tmp_path):
    methods = ["raises", "diverges", "dies", "hungry", "refuses", "head"]
    ended = bench("run", write_suite(methods=methods, plugins=FAULTY))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    records = {record["cell"]["label"]: record for record in read_records(tmp_path / "results" / "tiny").values()}
    assert {label: record["status"] for label, record in records.items()} == {
        "raises": "failed", "diverges": "failed", "dies": "failed", "hungry": "failed", "refuses": "n/a",
        "head": "trained",
    }  # fmt: skip
    assert records["raises"]["reason"] == "RuntimeError: the flux capacitor is empty"
    assert "not finite at step" in records["diverges"]["reason"]
    assert "killed by SIGKILL" in records["dies"]["reason"]
    assert records["dies"]["attempts"] == 2
    assert records["hungry"]["reason"].startswith("out of memory: batches of 8 examples of up to 32 tokens to train on")
    assert records["refuses"]["reason"] == "this backbone has no flux capacitor"
    shown = bench("show", records["raises"]["id"][:6])
    assert "in after_step" in shown.stdout  # the log holds the traceback
    status = bench("status", "tiny")
    assert "this backbone has no flux capacitor" in status.stdout


def test_a_killed_worker_goes_on_from_its_checkpoint_to_the_same_result(bench, write_suite, tmp_path):
    marker = tmp_path / "died"
    suite = write_suite(
        methods={"dies_once": {"marker": str(marker)}}, plugins=FAULTY, checkpoint="0.001 s", profile=False
    )
    assert bench("run", suite, "--results", "cut").returncode == 0
    assert marker.exists()
    assert bench("run", suite, "--results", "whole").returncode == 0
    [cut], [whole] = (read_records(tmp_path / name).values() for name in ("cut", "whole"))
    assert scores(tmp_path / "cut") == scores(tmp_path / "whole")
    assert cut["attempts"] == 2 and 1 <= cut["resumed_from"] <= 4  # it died within the fifth step
    assert (whole["attempts"], whole["resumed_from"], whole["earlier_seconds"]) == (1, None, 0)
    assert cut["earlier_seconds"] > 0
    assert {path.name for path in (tmp_path / "cut" / "cells" / cut["id"]).iterdir()} == set(cut["kept"]) | {
        "record.json", "log.txt",
    }  # fmt: skip


def test_a_trial_that_stops_leaves_the_rest_to_its_whole(bench, write_suite, tmp_path, tests_cache, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tests_cache))
    path = write_suite(methods={"full": {"lr": 1e-3}}, profile=False)
    assert bench("run", path, "--results", "alone").returncode == 0
    suite = ResolvedSuite.of(Suite.load(str(path)))
    [whole] = suite.cells.values()
    stopped = whole.model_copy(update={"stop": 0.3})
    plugins = {stopped.id: suite.plugin_files(whole)}
    trial = suite.model_copy(update={"cells": {stopped.id: stopped}, "plugins": plugins})
    store = RecordStore(tmp_path / "searched")
    [record] = Scheduler(trial, store, LocalLauncher(), [Slot(0, 1)]).run(Listener())
    assert (record.status, record.reason, record.data.steps) == ("trained", None, 5)  # of 16
    assert record.validation and not record.test and not record.kept and record.data.test == 0
    assert store.checkpoint(whole.id).exists()
    assert bench("run", path, "--results", "searched").returncode == 0
    found = store.read(whole.id)
    assert (found.resumed_from, found.earlier_seconds) == (5, 0)  # which the trial's own record tells
    assert not store.checkpoint(whole.id).exists()
    assert scores(tmp_path / "searched")[whole.id] == scores(tmp_path / "alone")[whole.id]


@pytest.mark.exhaustive
def test_what_does_not_fit_into_memory_is_trained_with_fewer_examples_at_a_time(bench, write_suite, tmp_path):
    """As if it had been asked for so from the first, profile included."""
    budget = {"train_examples": 30, "validation_examples": 8, "test_examples": 8, "epochs": 2, "batch_size": 8}
    for name, more in (("fitted", {}), ("asked", {"micro_batch": 2})):
        suite = write_suite(name, methods=["greedy"], plugins=FAULTY, budget=budget | more, profile="brief")
        assert bench("run", suite).returncode == 0
    [fitted], [asked] = (read_records(tmp_path / "results" / name).values() for name in ("fitted", "asked"))
    assert fitted["id"] != asked["id"]
    for key in ("status", "test", "validation", "history", "best_step"):
        assert fitted[key] == asked[key]
    assert fitted["data"]["steps"] == 8
    assert (fitted["micro_batch"], asked["micro_batch"]) == (2, None)
    assert "8 examples at a time did not fit into memory: it was trained with 2 at a time" in fitted["notes"][0]
    assert asked["notes"] == []
    assert fitted["cost"]["protocol"] == asked["cost"]["protocol"]
    assert fitted["cost"]["protocol"]["micro_batch"] == 2


@pytest.mark.exhaustive
def test_killed_in_the_middle_the_same_command_finishes_with_the_same_scores(bench, start, long_suite, tmp_path):
    assert bench("run", long_suite, "--results", "whole", "--slots", 2).returncode == 0
    results = tmp_path / "cut"

    # The worker dies: its cell is tried again within the run. Then the scheduler dies, with a cell under way.
    run = start("run", long_suite, "--results", results, "--slots", 2)
    wait_until(lambda: finished(results))
    worker = wait_until(lambda: worker_of(run))
    worker.kill()
    wait_until(lambda: len(finished(results)) >= 3)
    worker = wait_until(lambda: worker_of(run))
    run.kill()
    run.wait()
    worker.wait(timeout=10)  # a worker does not outlive its scheduler

    done = finished(results)
    assert 3 <= len(done) < 6
    assert bench("run", long_suite, "--results", "cut", "--slots", 2).returncode == 0
    assert {record["status"] for record in read_records(results).values()} == {"trained"}
    assert scores(results) == scores(tmp_path / "whole")
    after = finished(results)
    assert len(after) == 6
    assert {cell_id: after[cell_id] for cell_id in done} == done  # none of them trained again


@pytest.mark.exhaustive
def test_ctrl_c_waits_for_what_runs_and_starts_nothing_new(start, long_suite, tmp_path):
    results = tmp_path / "results" / "tiny"
    run = start("run", long_suite, "--slots", 2)
    wait_until(lambda: worker_of(run))
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "nothing new starts; waiting for" in output
    assert "cells open: the same command goes on from there" in output
    assert "Traceback" not in output
    assert 1 <= len(finished(results)) <= 2
    assert {record["status"] for record in read_records(results).values()} == {"trained"}


@pytest.mark.parametrize(
    "signals",
    [pytest.param((signal.SIGINT, signal.SIGINT)), pytest.param((signal.SIGTERM,), marks=pytest.mark.exhaustive)],
)
def test_a_second_ctrl_c_or_a_kill_ends_the_run_at_once_and_loses_no_finished_cell(
    start, long_suite, tmp_path, signals
):
    results = tmp_path / "results" / "tiny"
    run = start("run", long_suite, "--slots", 2)
    wait_until(lambda: finished(results))
    worker = wait_until(lambda: worker_of(run))
    for number in signals:
        os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)
        time.sleep(0.2)  # two of the same that wait for the same process are one
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "interrupted; finished cells are kept" in output
    assert "Traceback" not in output
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert finished(results)


def test_two_runs_do_not_work_in_one_folder(bench, start, long_suite, tmp_path):
    run = start("run", long_suite)
    wait_until(lambda: worker_of(run))
    second = bench("run", long_suite)
    assert second.returncode == 1
    assert f"another run is at work here (process {run.pid})" in second.stderr


@pytest.mark.exhaustive
def test_a_method_from_another_package_is_one_file_and_one_entry_point(bench_process, write_suite, tmp_path):
    """What the README shows, done by a package that is installed beside ours."""
    site = tmp_path / "site"
    info = site / "scale_only-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scale-only\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.methods]\nscale_only = scale_only:ScaleOnly\n")
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (site / "scale_only.py").write_text(readme.partition("```python\n# scale_only.py\n")[2].partition("```")[0])

    suite = write_suite(methods=["head", "scale_only"])
    ended = bench_process("run", suite, PYTHONPATH=str(site))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    records = {r["cell"]["label"]: r for r in read_records(tmp_path / "results" / "tiny").values()}
    # Two layers with two LayerNorms each, and the one of the embeddings: a scale of 32 for each.
    assert records["scale_only"]["parameters"]["adapter"] == 5 * 32
    assert records["head"]["parameters"]["adapter"] == 0
    assert "scale_only" in bench_process("list", "methods", PYTHONPATH=str(site)).stdout


def test_listing_reads_names_without_importing_torch(bench_process):
    listed = bench_process("list", PYTHONPATH=str(Path(__file__).parent / "no_torch"))
    assert listed.returncode == 0, listed.stderr
    assert "lora" in listed.stdout
    assert "rotten_tomatoes" in listed.stdout

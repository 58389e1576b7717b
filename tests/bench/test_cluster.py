"""The command line for clusters; the cluster is one of shell scripts."""

from __future__ import annotations

import argparse
import os

import pytest

from bench import cluster
from bench.cluster_options import SlurmOptions
from bench.folders import UsageError
from bench.launchers.journal import Journal, Line
from records.cards import Cards
from records.record import Manifest
from records.store import RecordStore
from tests.bench.fake_slurm import FakeSlurm
from tests.bench.test_records import cell, record

pytest.importorskip("submitit")


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeSlurm:
    found = FakeSlurm(tmp_path / "fake", tmp_path / "results" / "tiny")
    monkeypatch.setenv("PATH", f"{found.bin}{os.pathsep}{os.environ['PATH']}")
    return found


def flags(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cluster.add_options(parser)
    return parser.parse_args(given)


def test_flags_come_before_the_suite():
    found = cluster.options_of(flags("--gpus", "2", "--time", "90 min"), {"gpus": 1, "account": "lab"})
    assert found == SlurmOptions(gpus=2, time="90 min", account="lab")
    # 90 minutes; without, the time that a cell may take, and what it takes to start.
    assert found.minutes(3600.0) == 90
    assert SlurmOptions().minutes(3600.0) == 75
    with pytest.raises(ValueError, match="needs an end"):
        SlurmOptions().minutes(None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--gpus", "one"), "--gpus: takes a whole number, not 'one'"),
        (("--memory", "lots"), "--memory: takes a size such as '16 GB'"),
        (("--time", "none"), "--time: takes a length of time"),
        (("--time", "soon"), "--time: takes a length of time"),
    ],
)
def test_a_flag_that_cannot_be_used_is_one_line(given, said):
    with pytest.raises(UsageError, match=said):
        cluster.options_of(flags(*given), {})


def test_a_suite_says_what_its_jobs_ask_for_and_its_cells_stay_the_same(fake, bench, write_suite, tmp_path):
    asks = {"partition": "gpu", "gpus": 1, "setup": ["module load cuda"]}
    shown = bench("run", write_suite(slurm=asks, profile=True), "--launcher", "slurm", "--memory", "8 GB", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    training, _, profile = shown.stdout.partition("# cost profiles")
    lines = {"#SBATCH --partition=gpu", "#SBATCH --gpus-per-node=1", "#SBATCH --mem=8G", "module load cuda"}
    assert lines <= set(training.splitlines()) and "#SBATCH --array=0-1%2" in training
    assert "#SBATCH --exclusive" in profile and "#SBATCH --exclusive" not in training
    assert not fake.scripts() and not (tmp_path / "results").exists()

    wrong = bench("run", write_suite("wrong", slurm={"partitoin": "gpu"}), "--launcher", "slurm")
    assert "unknown key of slurm 'partitoin'" in wrong.stderr or "did you mean 'partition'" in wrong.stderr
    assert "wrong.yaml:" in wrong.stderr
    assert "--gpus goes with --launcher slurm" in bench("run", write_suite(), "--gpus", "1").stderr


def test_status_shows_the_queue_and_cancel_empties_it(fake, bench, tmp_path):
    store = RecordStore(fake.results)
    cells = {each.id: each for each in (cell(seed=seed) for seed in range(3))}
    store.write_manifest(Manifest(suite={}, cells=cells, cards=Cards(), environment={}, created="now"))
    store.write(record(cell(seed=0), status="trained", test={"accuracy": 0.5}))
    handed = [{"cell": cell_id} for cell_id in cells]
    Journal(fake.results).append(Line(what="intent", key="bench-k", when="now", stage="train", cells=handed))
    fake.flag("jobs", "10_0|bench-k|COMPLETED|None\n10_1|bench-k|RUNNING|None\n10_2|bench-k|PENDING|Priority\n"
                      "11|another|RUNNING|None\n")  # fmt: skip
    said = bench("status", "tiny").stdout
    assert "on the cluster: 1 running, 1 pending (Priority)" in said
    assert "2 jobs cancelled" in bench("cancel", "tiny").stdout
    assert (fake.folder / "cancelled").read_text() == "10_1 10_2\n"
    fake.flag("down")
    assert "on the cluster: not known from here" in bench("status", "tiny").stdout
    assert bench("cancel", "tiny").returncode == 1


def test_cells_do_not_run_here_while_a_cluster_is_at_work_on_them(fake):
    told: list[str] = []
    store = RecordStore(fake.results)
    cluster._refuse_beside_jobs(store, told.append)
    handed = [{"cell": cell().id}]
    Journal(fake.results).append(Line(what="intent", key="bench-k", when="now", stage="train", cells=handed))
    fake.flag("jobs", "10|bench-k|PENDING|Priority\n")
    with pytest.raises(UsageError, match="1 jobs of it are on the cluster"):
        cluster._refuse_beside_jobs(store, told.append)
    fake.turn("COMPLETED")
    cluster._refuse_beside_jobs(store, told.append)
    assert told == []
    fake.flag("down")
    cluster._refuse_beside_jobs(store, told.append)
    assert "not known from here" in told[0]

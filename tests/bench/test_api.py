"""The same in Python as on the command line: one record by both, and frames that say what the records do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml
from rich.text import Text

import bench as library
from bench.notebooks import LiveCell, html_of
from bench.scheduler import interruptible
from bench.tracking import TrackedDisplay
from tests.conftest import ROOT, bench_environ, read_records, scores
from tests.reports import synthetic_results as synthetic

NO_TORCH = Path(__file__).parent / "no_torch"


@pytest.fixture
def given(write_suite, tests_cache: Path, tmp_path: Path, monkeypatch) -> dict[str, Any]:
    """A suite as a mapping, of one cell, for workers that find our packages."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("BENCH_CACHE", str(tests_cache))
    monkeypatch.chdir(tmp_path)
    return yaml.safe_load(write_suite(methods={"head": {"lr": 1e-2}}).read_text())


def test_one_cell_in_python_and_on_the_command_line(given, bench, tmp_path: Path, capsys):
    found = library.run(given, tmp_path / "python", slots=1, progress=False)
    assert capsys.readouterr().out == ""
    done = bench("run", tmp_path / "tiny.yaml", "--results", tmp_path / "shell", "--slots", 1)
    assert done.returncode == 0, done.stderr
    assert scores(tmp_path / "python") == scores(tmp_path / "shell")
    [(cell_id, record)] = read_records(tmp_path / "python").items()
    assert list(found.cells.index) == [cell_id] and found.cells.loc[cell_id, "score"] == record["test"]["accuracy"]
    told = {(row.split, row.metric): row.value for row in found.scores.itertuples()}
    assert told == {
        (split, metric): value for split in ("validation", "test") for metric, value in record[split].items()
    }
    counted = found.costs.set_index("quantity")
    assert counted.loc["head_parameters", "value"] == record["parameters"]["head"]
    assert (
        counted.loc["wall_seconds", "value"] == record["wall_seconds"]
        and counted.loc["wall_seconds", "unit"] == "seconds"
    )
    assert "step_seconds" not in counted.index, "nothing was profiled"
    answers = pd.read_parquet(tmp_path / "python" / "cells" / cell_id / "predictions.parquet")
    asked = found.predictions(task="colours", seed=0)
    for name in ("example", "prediction", "reference", "tokens", "score:accuracy"):
        assert list(asked[name]) == list(answers[name])
    assert asked["score:accuracy"].mean() == pytest.approx(record["test"]["accuracy"])
    both = asked.merge(found.texts(), left_on="example", right_index=True)
    assert len(both) == 60 and list(both["raw_label"]) == list(both["reference"]) and set(both["label"]) == {"head"}
    assert len(found.history) == len(record["history"])
    assert found.predictions(seed=1).empty and len(found.records) == 1


def test_a_worker_does_not_run_the_script_that_runs_the_suite(given, tmp_path: Path, monkeypatch):
    """As multiprocessing would have it: without `if __name__ == "__main__"` the suite would be run in every worker."""
    script = tmp_path / "script.py"
    script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    main = ModuleType("__main__")
    main.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", main)
    found = library.run(given, tmp_path / "results", slots=1, progress=False)
    assert list(found.cells["status"]) == ["trained"]
    assert sys.modules["__main__"] is main and not (tmp_path / "ran").exists()


@pytest.mark.exhaustive
def test_a_script_without_a_guard_runs_its_suite_once(given, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(f"import bench\nprint('BEGUN')\nprint(bench.run({given!r}, 'results', slots=1))\n")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=bench_environ(tmp_path), capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("BEGUN") == 1 and done.stdout.endswith("<Results results: 1 cells, 1 trained>\n")


def test_an_interrupt_leaves_finished_cells_and_the_same_call_goes_on(given, tmp_path: Path, monkeypatch):
    given["seeds"] = [0, 1]
    ended = TrackedDisplay.ended

    def interrupted(*arguments: Any) -> None:
        ended(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrackedDisplay, "ended", interrupted)
    with pytest.raises(KeyboardInterrupt, match="1 cells are open"):
        library.run(given, tmp_path / "results", slots=1, progress=False)
    assert sorted(library.results(tmp_path / "results").cells["status"]) == ["not run", "trained"]
    monkeypatch.setattr(TrackedDisplay, "ended", ended)
    assert list(library.run(given, tmp_path / "results", slots=1, progress=False).cells["status"]) == ["trained"] * 2


def test_outside_of_the_main_thread_no_interrupt_is_waited_for():
    reached: list[object] = []

    def work() -> None:
        with interruptible(SimpleNamespace()):  # type: ignore[arg-type]
            reached.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == [before]


@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [
        (lambda given: library.Suite.read(given | {"sedes": 1}), "SuiteError", "suite: sedes: unknown key"),
        (
            lambda given: library.Suite.read(given | {"seeds": [object()]}),
            "SuiteError",
            "suite: takes what a suite file",
        ),
        (lambda given: library.Suite.read(given, "a/b"), "SuiteError", "'a/b': results cannot be kept"),
        (lambda given: library.Suite.read("none"), "SuiteError", "no suite 'none'"),
        (lambda given: library.run(given, slots=0), "UsageError", "slots: takes a whole number from 1, not 0"),
        (lambda given: library.run(given, time_limit="soon"), "UsageError", "'soon'"),
        (lambda given: library.run(given, slurm={"nodes": 2}), "UsageError", "slurm: unknown option 'nodes'"),
        (lambda given: library.preview(given, ["colour"]), "UsageError", "has no task 'colour'; it has colours"),
        (lambda given: library.results("none"), "ResultsError", "none"),
    ],
)
def test_what_is_wrong_is_one_line(given, call, error: str, expected: str):
    with pytest.raises(getattr(library, error)) as caught:
        call(given)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_plan_and_a_preview(given):
    suite = library.Suite.read(given, "mine")
    assert repr(suite) == "<Suite mine: 1 cells, 1 backbones × 1 methods × 1 tasks × 1 seeds>"
    planned = library.plan(suite)
    assert (planned.open, planned.done, planned.name) == (1, 0, "mine")
    [found] = library.preview(suite, examples=2)
    assert len(found.examples) == 2 and "colours on" in found._repr_html_()


def test_results_are_read_and_reported_without_torch(tmp_path: Path):
    """And importing the library imports nothing heavy."""
    cells = synthetic.grid(["full", "lora"], ["rotten_tomatoes"], seeds=1)
    synthetic.write(tmp_path / "results", cells, map(synthetic.record, cells))
    code = (
        "import sys, bench\nassert not {'torch', 'pandas', 'pydantic', 'rich'} & set(sys.modules)\n"
        "assert 'Suite' in dir(bench)\nfound = bench.results('results')\nprint(repr(found))\n"
        "print('<table' in found._repr_html_(), found.report('out').page)\n"
    )
    environ = bench_environ(tmp_path, PYTHONPATH=f"{NO_TORCH}{os.pathsep}{ROOT}", PATH="")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"<Results results: \d+ cells, .*>\nTrue out/index.html\n", done.stdout)
    assert (tmp_path / "out" / "index.html").is_file()


def test_a_notebook_shows_pictures_in_one_place_and_texts_as_characters(monkeypatch):
    shown: list[str] = []

    class Handle:
        def update(self, html: str) -> None:
            shown.append(html)

    fake = ModuleType("IPython.display")
    fake.HTML = str  # type: ignore[attr-defined]
    fake.display = lambda html, display_id: Handle()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    cell = LiveCell()
    cell.start()
    for _ in range(50):
        cell.update(Text("step <script>alert(1)</script>"))
    cell.stop()
    assert len(shown) < 50 and len(shown) > 1
    assert all("step &lt;script&gt;alert(1)" in html for html in shown)
    assert "<b>" not in html_of(lambda console: console.print("<b>", markup=False))

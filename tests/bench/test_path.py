"""Files of the current folder are data, whatever they are called."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT, bench_command

NAMES = ("datasets.py", "tasks.py", "random.py", "logging.py", "psutil.py", "bench.py", "torch.py")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_text("raise SystemExit('this is not the module that was meant')\n")
    return tmp_path


# The second has an empty entry, which stands for the current folder as well.
@pytest.mark.parametrize("path", [str(ROOT), f"{os.pathsep}{ROOT}{os.pathsep}"])
def test_workers_import_nothing_from_the_current_folder(folder, path):
    script = """
        import os, sys
        sys.path[:] = [entry for entry in sys.path if entry not in ("", os.getcwd())]  # as the script `bench` has it
        from bench.path import leave_current_folder
        leave_current_folder()
        from pathlib import Path
        from bench.launchers.local import LocalLauncher, Slot
        from records.store import RecordStore
        from bench.scheduler import Scheduler
        from tests.bench.test_scheduler import Listener, suite_of

        launcher = LocalLauncher(work="tests.bench.odd_workers")
        suite = suite_of(Path(), "fine", "changes_folder")
        for record in Scheduler(suite, RecordStore("results"), launcher, [Slot(0, 1)]).run(Listener()):
            print(record.status, record.reason)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=folder, env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.stdout.split() == ["trained", "None"] * 2, ended.stdout + ended.stderr


def test_the_command_imports_nothing_from_the_current_folder(folder):
    (folder / "bench.py").unlink()
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(bench_command("list"), cwd=folder, env=environ, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "methods: " in ended.stdout


def test_a_folder_that_pythonpath_names_stays_and_becomes_absolute(tmp_path, monkeypatch):
    from bench.path import leave_current_folder

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"helpers{os.pathsep}{os.pathsep}{ROOT}")
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(tmp_path / "helpers"), str(ROOT)])
    leave_current_folder()
    assert sys.path == [str(tmp_path / "helpers"), str(ROOT)]
    assert os.environ["PYTHONPATH"] == f"{tmp_path / 'helpers'}{os.pathsep}{ROOT}"
    monkeypatch.setenv("PYTHONPATH", ".")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    leave_current_folder()
    assert sys.path == [str(tmp_path)]


@pytest.mark.parametrize("name", ["records", "methods", "tasks", "reports"])
def test_another_package_of_one_of_our_names_is_told_in_one_line(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise SystemExit('this is not the package that was meant')\n")
    environ = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ended = subprocess.run(bench_command("list"), cwd="/", env=environ, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1 and not ended.stdout
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"bench: {name!r} is found at {tmp_path / name}, and has to come from {ROOT};")

"""The command line: what it answers to paths that are none, and what it loads to answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from tests.conftest import ROOT
from tests.reports import synthetic_results


@pytest.fixture
def say(tmp_path, monkeypatch, capsys):
    """Runs a command in this process, in `tmp_path`; returns its exit status or message, and what it printed."""

    def run(*arguments: object):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out + said.err

    return run


@pytest.fixture
def results(tmp_path) -> Path:
    return synthetic_results.write_usual(tmp_path / "results" / "usual")


COMMANDS = [("status",), ("report",), ("slides",), ("show", "abc", "--results"), ("run", "quick", "--results")]
UNUSABLE = {
    "a file": ("file.txt", "is a file"),
    "below a file": ("file.txt/inside", "is a file"),
    "nobody's": ("~nobody_at_all/x", "no usable path"),
    "too long": ("x" * 5000, "no usable path"),
    "a null byte": ("a\0b", "no usable path"),
    "a link to nothing": ("dangling", "link to what is not there"),
}


@pytest.mark.parametrize("path", UNUSABLE)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_results_that_cannot_be_a_folder_are_one_line(say, tmp_path, command, path):
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "results").symlink_to(".")  # so that a name is looked for here
    given, message = UNUSABLE[path]
    said, printed = say(*command, given)
    assert isinstance(said, str) and said.startswith("bench: ") and message in said, said
    assert "\n" not in said and not printed


@pytest.mark.parametrize("option", ["--output", "--template"])
@pytest.mark.parametrize("command", ["report", "slides"])
def test_so_are_other_paths(say, results, tmp_path, command, option):
    (tmp_path / "file.txt").write_text("")
    for given in ("~nobody_at_all/x", "x" * 5000, "file.txt/inside"):
        said, _ = say(command, results, option, given)
        assert isinstance(said, str) and said.startswith("bench: ") and "\n" not in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_line(say, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    said, _ = say("run", "quick", "--results", "locked/inside")
    assert said == "bench: locked: may not be written to; name another folder (--results, --output)"


def test_nothing_as_a_path_is_refused(say):
    assert say("run", "quick", "--results", "")[0] == 2


@pytest.mark.parametrize("cell", ["..", "*", "?", "[a-f]", "../../etc", "ABC", "0" * 13, "", "a b", "a\n"])
def test_only_hexadecimal_digits_name_a_cell(say, results, cell):
    said, _ = say("show", cell)
    assert isinstance(said, str) and "hexadecimal" in said


def test_a_record_outside_the_folder_is_not_shown(say, results, tmp_path):
    known = next((results / "cells").iterdir())
    outside = tmp_path / "outside"
    shutil.copytree(known, outside)
    (results / "cells" / "feedfacefeed").symlink_to(outside)
    assert "no cell" in say("show", "feedface")[0]
    assert say("show", known.name)[0] == 0


def test_a_log_commands_no_terminal_and_is_read_from_its_end(say, results):
    from records.store import RecordStore

    store = RecordStore(results)
    failed = next(record for record in store.records() if record.status == "failed")
    store.log(failed.id).write_bytes(b"x" * 3_000_000 + b"\nlast \x1b[2J\xc2\x9b2J \xff words\n")
    code, printed = say("show", failed.id)
    assert code == 0
    assert "last  " in printed and " words" in printed and "\x1b[2J" not in printed and "\x9b" not in printed
    assert len(printed) < 200_000


def test_results_are_found_by_the_file_of_their_suite(say, results):
    assert say("status", "elsewhere/usual.yaml")[0] == 0


HEAVY = ("torch", "transformers", "datasets", "pandas", "sklearn", "scipy", "numpy", "peft", "matplotlib")
LIGHT = [
    ["list"], ["list", "suites"], ["list", "backbones"], ["--help"], ["--version"],
    *([command, "--help"] for command in ("status", "list", "doctor", "new", "check")),
]  # fmt: skip


def loaded(*arguments: str, cwd: Path) -> tuple[str, set[str]]:
    """What a command prints, and which heavy modules it has imported."""
    code = (
        "import sys\nfrom bench.cli import main\nsys.argv = ['bench', *sys.argv[1:]]\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('LOADED', *(name for name in {HEAVY} if name in sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    printed, _, names = ended.stdout.rpartition("LOADED")
    return printed, set(names.split())


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_what_lists_names_imports_nothing_heavy(arguments, tmp_path):
    printed, heavy = loaded(*arguments, cwd=tmp_path)
    assert heavy == set()
    assert printed.strip()


def test_status_imports_nothing_heavy(results, tmp_path):
    printed, heavy = loaded("status", "usual", cwd=tmp_path)
    assert heavy == set()
    assert "failed" in printed


def test_tasks_are_described_without_torch(tmp_path):
    printed, heavy = loaded("list", "tasks", cwd=tmp_path)
    assert not heavy & {"torch", "transformers", "datasets"}
    assert "rotten_tomatoes" in printed


def test_a_list_tells_how_names_made_to_order_look(tmp_path):
    printed, _ = loaded("list", cwd=tmp_path)
    assert "files:<path>" in printed and "mixture:<task>+<task>" in printed and "embedded" in printed


@pytest.mark.parametrize("name", ["my suite.yaml", "it's.yaml", 'a "b".yaml', "a;b&c.yaml", "größe.yaml", "embedded"])
def test_make_hands_names_on_as_they_are(tmp_path, name):
    """The command that make runs, with a program in place of bench that tells its arguments."""
    (tmp_path / "bench").mkdir()
    for needed in ("Makefile", "pyproject.toml", "constraints.txt", "bench/__init__.py"):
        shutil.copy(ROOT / needed, tmp_path / needed)
    tell = tmp_path / "venv" / "bin" / "bench"
    tell.parent.mkdir(parents=True)
    tell.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    tell.chmod(0o755)
    (tmp_path / "venv" / ".ready").touch()

    def make(target: str, **variables: str) -> str:
        given = [f"{key}={value}" for key, value in ({"VENV": "venv", "SUITE": name} | variables).items()]
        return subprocess.run(
            ["make", "-s", target, *given], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    assert make("bench") == f"<run><{name}>"
    assert make("bench", RESULTS="my results", ARGS="--slots 2") == f"<run><{name}><--results><my results><--slots><2>"
    assert make("status") == f"<status><{name}>"
    assert make("report", TEMPLATE="my look.sty") == f"<report><{name}><--topic><all><--template><my look.sty>"
    assert make("slides", RESULTS="a b") == "<slides><a b><--topic><all>"

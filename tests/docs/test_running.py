"""Commands and code of the documents, run beside results: what a page says can be done, can be done.

A suite that takes long stands for a tiny one of the same name; CELL and RESULTS stand for a cell and a folder.
"""

from __future__ import annotations

import json
import shutil
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bench.suite import built_in
from docs.site import tutorials
from records import archive
from reports.model.topics import names
from tests.conftest import Bench, make_tiny_backbone
from tests.docs.blocks import ROOT, Block, blocks, of_documents, python_pages, run_python

RECORDS = ROOT / "docs" / "records"
# What a suite is given to that has no results.
BEFORE_RESULTS = ("run", "tune", "plan", "preview", "list")
# What answers at once; the rest trains, loads or typesets.
QUICK = ("list", "plan", "status", "show", "doctor", "cancel")


def shell() -> list[object]:
    """The blocks of shell that are run, those that take long as exhaustive. A target of make takes an environment of
    its own, and is not."""
    found = []
    for block in of_documents():
        commands = [words for words in block.commands if words[0] != "make"] if block.language == "sh" else []
        if commands and block.why_not is None:
            slow = any(words[0] == "python" or words[1] not in QUICK for words in commands)
            found.append(pytest.param(block, id=block.place, marks=[pytest.mark.exhaustive] if slow else []))
    return found


LETTERS = string.ascii_lowercase + string.digits + string.punctuation


class Workspace:
    """A folder as it is where a page is read: with the repository's docs/, and with suites and results where they are
    named. Built-in suites are tiny ones of the same names, in `suites`."""

    def __init__(self, folder: Path, suites: Path, bench: Bench, write_suite: Callable[..., Path]) -> None:
        self.folder, self.suites, self.bench, self.write_suite = folder, suites, bench, write_suite
        for name in built_in():
            methods = {"lora": {"lr": 0.01}, "full": {"lr": 1e-3}}
            tuning = {"tuning": {"trials": 2}} if name.endswith("-tuned") else {}
            write_suite(name, methods=methods, keep={"state": "all"}, **tuning).rename(suites / f"{name}.yaml")
        (folder / "docs").symlink_to(ROOT / "docs")
        (folder / "acl.sty").write_text("\\ProvidesPackage{acl}\n")

    def trained(self) -> list[str]:
        """The ids of the cells of the suite `quick`, which is run, the one of lora first."""
        self.provide("quick")
        records = [json.loads(path.read_text()) for path in self.folder.glob("results/quick/cells/*/record.json")]
        return [record["id"] for record in sorted(records, key=lambda record: record["cell"]["label"] != "lora")]

    def provide(self, suite: str) -> None:
        """Results of a built-in suite: those in docs/records, else of a run of the tiny one."""
        packed = RECORDS / f"{suite}{archive.ENDING}"
        if (self.folder / suite).is_dir() or (self.folder / "results" / suite).exists():
            return
        if packed.exists():
            archive.unpack(packed, self.folder / "results")
        else:
            self.succeed("bench", "run", suite)

    def word(self, word: str, command: str) -> str:
        """One word of a command, as it is here."""
        if word == "CELL":
            return self.trained()[0]
        if word in ("RESULTS", "SUITE"):
            self.trained()
            return "results/quick" if word == "RESULTS" else "quick"
        if word in built_in() and command not in BEFORE_RESULTS:
            self.provide(word)
        if word.endswith(".yaml") and not (self.folder / word).exists():
            return self.write_suite(Path(word).stem).name
        return word

    def run(self, words: list[str]) -> None:
        """Raises AssertionError where the command fails."""
        if words[0] == "bench":
            self.succeed(*words[:2], *(self.word(word, words[1]) for word in words[2:]))
        elif words[0] != "make":
            program = sys.executable if words[0] == "python" else words[0]
            subprocess.run([program, *words[1:]], cwd=self.folder, check=True, timeout=300)

    def succeed(self, *words: str) -> None:
        ended = self.bench(*words[1:])
        assert ended.returncode == 0, f"{' '.join(words)}\n{ended.stdout}{ended.stderr}"


@pytest.fixture
def workspace(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, bench: Bench, write_suite: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Workspace:  # fmt: skip
    suites = tmp_path_factory.mktemp("suites")
    made = Workspace(tmp_path, suites, bench, write_suite)
    monkeypatch.setattr("bench.suite.BUILT_IN", suites)
    return made


@pytest.mark.parametrize("block", shell())
def test_the_commands_of_a_block_succeed_one_after_the_other(block: Block, workspace: Workspace):
    for words in block.commands:
        workspace.run(words)


@pytest.mark.exhaustive
@pytest.mark.parametrize("page", python_pages(beside_results=True).values(), ids=python_pages(beside_results=True))
def test_python_beside_results_runs(page: list[Block], workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    cell = workspace.trained()[0]
    monkeypatch.chdir(workspace.folder)
    assert len(run_python(page, cell)) > 2


@pytest.mark.parametrize(
    "topic",
    [
        pytest.param(name, marks=pytest.mark.exhaustive if name == "lowrank" else pytest.mark.slow)
        for name in names()
        if name != "all"
    ],
)
def test_a_tutorial_leads_from_its_suite_to_a_table(topic: str, workspace: Workspace):
    """Its suite on a tiny backbone, and its commands as they stand there. AdapterDrop wants layers, and SPoT reads
    reviews."""
    found = list(blocks(tutorials.pages()[f"tutorials/{topic}.md"], topic))
    given = yaml.safe_load(next(block.text for block in found if block.language == "yaml"))
    assert {*tutorials.BASELINES} < given["methods"].keys() and len(given["seeds"]) == 3
    make_tiny_backbone(
        workspace.folder / "deep", layers=4, letters=string.ascii_lowercase + string.digits + string.punctuation
    )
    workspace.write_suite(topic, backbones=["deep"], methods=given["methods"], seeds=[0, 1])
    workspace.succeed("bench", "run", f"{topic}.yaml")
    for block in (block for block in found if block.language == "sh" and block.why_not is None):
        for words in block.commands:
            workspace.run(words)
    report = workspace.folder / "results" / topic / f"report-{topic}"
    assert (report / "tables" / "scores.tex").is_file() and (report / "numbers.tex").is_file()
    if latexmk := shutil.which("latexmk"):
        [paper] = (block.text for block in found if block.language == "latex")
        (workspace.folder / "paper.tex").write_text(paper.replace("rotten_tomatoes", "colours"))
        made = subprocess.run(
            [latexmk, "-pdf", "-interaction=nonstopmode", "paper.tex"], cwd=workspace.folder, capture_output=True
        )
        log = (workspace.folder / "paper.log").read_text("utf-8", errors="replace")
        assert made.returncode == 0, log[-2000:]
        # A number, a reference or a citation that is not there.
        assert "no value bench@" not in log and "undefined" not in log

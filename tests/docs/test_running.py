"""Commands and code of the documents, run beside results: what a page says can be done, can be done.

A suite that takes long stands for a tiny one of the same name; CELL and RESULTS stand for a cell and a folder.
"""

from __future__ import annotations

import json
import shutil
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
from tests.conftest import Bench
from tests.docs.blocks import ROOT, Block, blocks, of_documents

RECORDS = ROOT / "docs" / "records"
# What answers at once; the rest trains, loads or typesets.
QUICK = ("list", "plan", "status", "show", "doctor", "cancel")


def params(*languages: str) -> list[object]:
    """The blocks that are run, those that take long as exhaustive."""
    found = []
    for block in of_documents():
        if block.language in languages and block.why_not is None and run_here(block):
            slow = [words for words in block.commands if words[1] not in QUICK] if block.language == "sh" else [[]]
            found.append(pytest.param(block, id=block.place, marks=[pytest.mark.exhaustive] if slow else []))
    return found


def run_here(block: Block) -> bool:
    """Python that needs no results is run by test_blocks.py; a target of make takes an environment of its own."""
    if block.language == "python":
        return "results/" in block.text or "CELL" in block.text
    return any(words[0] != "make" for words in block.commands)


class Workspace:
    """A folder as it is where a page is read: with the repository's docs/, suites, and results where they are named."""

    def __init__(self, folder: Path, bench: Bench, write_suite: Callable[..., Path]) -> None:
        self.folder, self.bench, self.write_suite = folder, bench, write_suite
        (folder / "docs").symlink_to(ROOT / "docs")
        (folder / "acl.sty").write_text("\\ProvidesPackage{acl}\n")

    def trained(self) -> list[str]:
        """The ids of the cells of a suite that was run, `results/quick`, the one of lora first."""
        if not (self.folder / "results" / "quick").exists():
            suite = self.write_suite("quick", methods={"lora": {"lr": 0.01}, "full": {}}, keep={"state": "all"})
            self.succeed("bench", "run", suite.name)
        records = [json.loads(path.read_text()) for path in self.folder.glob("results/quick/cells/*/record.json")]
        return [record["id"] for record in sorted(records, key=lambda record: record["cell"]["label"] != "lora")]

    def word(self, word: str, command: str) -> str:
        """One word of a command, as it is here."""
        if word == "CELL":
            return self.trained()[0]
        if word in ("RESULTS", "SUITE"):
            self.trained()
            return "results/quick" if word == "RESULTS" else "quick.yaml"
        if word in built_in() and command in ("run", "tune", "plan"):
            tuning = {"tuning": {"trials": 2}} if word.endswith("-tuned") else {}
            return self.write_suite(word, **tuning).name
        if word.endswith(".yaml") and not (self.folder / word).exists():
            return self.write_suite(Path(word).stem).name
        packed = RECORDS / f"{word}{archive.ENDING}"
        if packed.exists() and not (self.folder / word).is_dir() and not (self.folder / "results" / word).exists():
            archive.unpack(packed, self.folder / "results")
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
def workspace(tmp_path: Path, bench: Bench, write_suite: Callable[..., Path]) -> Workspace:
    return Workspace(tmp_path, bench, write_suite)


@pytest.mark.parametrize("block", params("sh"))
def test_the_commands_of_a_block_succeed_one_after_the_other(block: Block, workspace: Workspace):
    for words in block.commands:
        workspace.run(words)


@pytest.mark.parametrize("block", params("python"))
def test_python_beside_results_runs(block: Block, workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    cell = workspace.trained()[0]
    monkeypatch.chdir(workspace.folder)
    names: dict[str, object] = {"__name__": "block"}
    exec(compile(block.text.replace("CELL", cell), block.place, "exec", dont_inherit=True), names)
    assert len(names) > 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("topic", [name for name in names() if name != "all"])
def test_a_tutorial_leads_from_its_suite_to_a_table(topic: str, workspace: Workspace):
    """Its suite on a tiny backbone, and its commands as they stand there."""
    found = list(blocks(tutorials.pages()[f"tutorials/{topic}.md"], topic))
    given = yaml.safe_load(next(block.text for block in found if block.language == "yaml"))
    assert {*tutorials.BASELINES} < given["methods"].keys() and len(given["seeds"]) == 3
    workspace.write_suite(topic, methods=given["methods"], seeds=[0, 1])
    workspace.succeed("bench", "run", f"{topic}.yaml")
    for block in (block for block in found if block.language == "sh" and block.why_not is None):
        for words in block.commands:
            workspace.run(words)
    report = workspace.folder / "results" / topic / "report"
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

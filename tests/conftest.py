"""What many tests need: a tiny backbone, a suite file around it, and the command line, here or in its own process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import cli

# The models are tiny: threads would cost more than they bring, and take the cores from the tests beside. Processes
# that tests start inherit it. Before torch is imported, which reads it once.
os.environ["OMP_NUM_THREADS"] = "1"
# A profile has all cores, which the tests beside it have too: threads that spin while they wait would wait for each
# other's turn.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
# Tests need no network; where there is none, libraries would look for the hub again and again, a minute each time.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = ROOT / "tests" / "plugins"

Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that all tests share."""
    folder = tmp_path_factory.mktemp("backbone") / "tiny-bert"
    make_tiny_backbone(folder)
    return folder


def make_tiny_backbone(folder: Path, layers: int = 2, letters: str = "") -> None:
    """A BERT with random weights, and a tokenizer that knows the words of tests/plugins/colours.py, and spells others
    in these letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    sys.path.insert(0, str(PLUGINS))
    try:
        import colours
    finally:
        sys.path.remove(str(PLUGINS))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *colours.WARM, *colours.COLD, *colours.OTHER]
    words += [*letters, *(f"##{letter}" for letter in letters)]
    BertTokenizer(vocab={word: index for index, word in enumerate(words)}).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)


@pytest.fixture
def write_suite(tmp_path: Path, tiny_backbone: Path) -> Callable[..., Path]:
    """Writes a small suite on the tiny backbone, whose cells are not profiled: that takes longer than their training.
    Keyword arguments replace its keys."""

    def write(name: str = "tiny", **keys: Any) -> Path:
        suite = {
            "backbones": [str(tiny_backbone)],
            "tasks": ["colours"],
            "methods": {"full": {"lr": 1e-3}, "head": {"lr": 1e-2}},
            "seeds": [0],
            "budget": {
                "train_examples": 64, "validation_examples": 40, "test_examples": 60, "epochs": 2, "batch_size": 8,
                "max_length": 32,
            },
            "precision": "no",
            "profile": False,
            "plugins": [str(PLUGINS / "colours.py")],
        }  # fmt: skip
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(suite | keys, sort_keys=False))
        return path

    return write


@pytest.fixture(scope="session")
def tests_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not the user's, and one for all tests: the server from which their workers are forked knows no other."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bench(tmp_path: Path, tests_cache: Path) -> Bench:
    """Runs the command line in `tmp_path`, without the seconds in which a process of its own would import torch: in
    this process, with workers that are forked from a server which all tests share."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["bench", *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", command)
            patch.setattr(sys, "path", list(sys.path))
            patch.setenv("PYTHONPATH", str(ROOT))
            patch.setenv("BENCH_CACHE", str(tests_cache))
            on_kill = signal.getsignal(signal.SIGTERM)
            try:
                cli.main()
            except SystemExit as ended:
                # The interpreter would print a message, and end with status 1.
                status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
                if isinstance(ended.code, str):
                    print(ended.code, file=err)
            finally:
                signal.signal(signal.SIGTERM, on_kill)
        return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def bench_process(tmp_path: Path) -> Bench:
    """Runs the command line in `tmp_path` as a user does, in a process of its own; keyword arguments are environment
    variables."""

    def run(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            bench_command(*arguments),
            cwd=tmp_path,
            env=bench_environ(tmp_path, **environ),
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="module")
def server_of_its_own() -> Iterator[None]:
    """For tests whose workers need none of the engine's imports, or which kill the server that they are forked from:
    it is another than that of the tests before and after."""
    server = forkserver._forkserver
    server._stop()
    yield
    server._stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, where it and Playwright are installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from tests.reports.browser import CHROMIUM, launch

    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


def bench_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def bench_environ(tmp_path: Path, **environ: str) -> dict[str, str]:
    return os.environ | {"BENCH_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"} | environ


def read_records(results: Path) -> dict[str, dict[str, Any]]:
    """The records of a results folder as plain data, by id."""
    return {path.parent.name: json.loads(path.read_text()) for path in results.glob("cells/*/record.json")}


def scores(results: Path) -> dict[str, Any]:
    """All that a record says of a cell's training: what must not depend on how the run went."""
    return {
        cell_id: {key: record[key] for key in ("status", "best_step", "validation", "test", "history", "data")}
        for cell_id, record in read_records(results).items()
    }


def wait_until(condition, seconds: float = 90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail("what the test waits for did not come")

"""What is kept under BENCH_CACHE: opened again only as it was written, else made anew; nothing of killed processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from filelock import FileLock
from transformers import AutoTokenizer

from bench import caches
from bench.caches import CacheError, kept
from bench.data import DataError, prepare
from bench.forms.sequence import Classification
from records.cell import Budget
from tasks.base import Card, Task
from tests.conftest import ROOT


class Maker:
    """Writes two files, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Callable[[Path], None]:
        self.times += 1

        def write(folder: Path) -> None:
            (folder / "inner").mkdir()
            (folder / "inner" / "weights").write_bytes(bytes(range(256)) * 100)
            (folder / "config").write_text("32")

        return write


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    return tmp_path / "kind" / "entry"


def test_what_is_whole_is_made_once(entry: Path):
    make = Maker()
    assert kept(entry, make) == kept(entry, make) == entry
    assert make.times == 1
    # The program that everybody has for it agrees.
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=entry, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "config: OK\ninner/weights: OK\n")


def _flip(entry: Path) -> None:
    data = bytearray((entry / "inner" / "weights").read_bytes())
    data[12_345] ^= 1
    (entry / "inner" / "weights").write_bytes(data)


@pytest.mark.parametrize(
    "spoil",
    [
        _flip,
        lambda entry: (entry / "inner" / "weights").write_bytes(bytes(25_600)),
        lambda entry: os.truncate(entry / "inner" / "weights", 25_599),
        lambda entry: (entry / "config").unlink(),
        lambda entry: (entry / "SHA256SUMS").unlink(),
        lambda entry: (entry / "SHA256SUMS").write_text(""),
        lambda entry: (entry / "SHA256SUMS").write_bytes(b"\xff\xfe\n"),
        lambda entry: (entry / "SHA256SUMS").write_text("no sum\n"),
    ],
    ids=["one bit", "zeros", "cut", "file gone", "sums gone", "sums empty", "sums binary", "sums foreign"],
)
def test_what_was_changed_on_the_disk_is_made_anew(entry: Path, spoil: Callable[[Path], None]):
    make = Maker()
    before = (kept(entry, make) / "inner" / "weights").read_bytes()
    spoil(entry)
    assert (kept(entry, make) / "inner" / "weights").read_bytes() == before
    assert make.times == 2
    assert kept(entry, make) and make.times == 2


def test_a_file_that_stands_where_the_folder_should_is_replaced(entry: Path):
    entry.parent.mkdir()
    entry.write_text("not a folder")
    assert (kept(entry, Maker()) / "config").read_text() == "32"


HANG = """
import sys, time
from pathlib import Path
from bench.caches import kept
def write(folder):
    (folder / "half").write_text("x")
    print("writing", flush=True)
    time.sleep(60)
kept(Path(sys.argv[1]), lambda: write)
"""


def test_what_a_killed_process_left_is_cleared_and_what_a_living_one_is_at_stays(entry: Path):
    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HANG, str(entry.with_name(name))]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        return process

    killed, living = start("killed"), start("living")
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (entry.parent / "killed.making").is_dir()
        kept(entry, Maker())
        left = {path.name for path in entry.parent.iterdir() if path.is_dir()}
        assert left == {"entry", "living.making"}
        # One is found again by who makes the same.
        entry.with_name("again.making").mkdir()
        assert (kept(entry.with_name("again"), Maker()) / "config").is_file()
    finally:
        living.kill()
        living.wait()


def test_what_former_versions_left_is_cleared_after_a_day(entry: Path):
    for name, age in ((".converting-abc", 2), ("tmpabc", 2), ("tmpnew", 0)):
        (entry.parent / name).mkdir(parents=True)
        os.utime(entry.parent / name, (time.time() - age * 86_400,) * 2)
    kept(entry, Maker())
    assert {path.name for path in entry.parent.iterdir() if path.is_dir()} == {"entry", "tmpnew"}


def test_a_full_disk_is_one_line_and_leaves_nothing(entry: Path):
    def write(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CacheError, match=r"cannot be written at .*kind: No space left on device; set BENCH_CACHE to"):
        kept(entry, lambda: write)
    assert not [path for path in entry.parent.iterdir() if path.is_dir()]


def test_an_error_of_the_maker_is_its_own(entry: Path):
    def make() -> Callable[[Path], None]:
        raise FileNotFoundError("the data")

    with pytest.raises(FileNotFoundError, match="the data"):
        kept(entry, make)


def test_a_whole_entry_is_read_though_nothing_can_be_written(entry: Path, monkeypatch: pytest.MonkeyPatch):
    kept(entry, Maker())
    monkeypatch.setattr(caches, "_lock", lambda folder: pytest.fail("a lock was taken"))
    assert kept(entry, Maker()) == entry


class Words(Task):
    """Six short texts."""

    card = Card("words", "Words", "classification", ("accuracy",), "", "", "", "", "", labels=("no", "yes"))

    def load(self) -> DatasetDict:
        texts = {"train": ["red", "blue red", "green"], "validation": ["sky"], "test": ["tree", "bird tree"]}
        return DatasetDict(
            {name: Dataset.from_dict({"text": rows, "label": [0] * len(rows)}) for name, rows in texts.items()}
        )

    def score(self, predictions, references) -> dict[str, float]:
        return {"accuracy": 0.0}


@pytest.fixture
def form(tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classification:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return Classification(Words(), AutoTokenizer.from_pretrained(tiny_backbone), 16)


def _splits(form: Classification) -> list[list[list[int]]]:
    found = prepare(form, Budget(), seed=0)
    return [list(split["input_ids"]) for split in (found.train, found.validation, found.test)]


def test_token_ids_that_were_changed_in_the_cache_are_made_anew(form: Classification, tmp_path: Path):
    before = _splits(form)
    (arrow,) = tmp_path.glob("cache/tokenised/words-test-*/*.arrow")
    data = arrow.read_bytes()
    tree = form.tokenizer.convert_tokens_to_ids("tree")
    other = form.tokenizer.convert_tokens_to_ids("bird")
    changed = data.replace(tree.to_bytes(4, "little"), other.to_bytes(4, "little"))
    assert changed != data and len(changed) == len(data)
    arrow.write_bytes(changed)
    assert _splits(form) == before


def test_the_librarys_own_cache_is_not_used(form: Classification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Data that lies on the disk would have what `map` makes of it kept beside it, and found again."""
    Words().load().save_to_disk(str(tmp_path / "raw"))
    from datasets import load_from_disk

    monkeypatch.setattr(Words, "load", lambda self: load_from_disk(str(tmp_path / "raw")))
    before = _splits(form)
    assert not list((tmp_path / "raw").rglob("cache-*"))
    assert _splits(form) == before


def test_a_cache_that_is_a_file_is_one_line(form: Classification, tmp_path: Path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(DataError, match=r"^the cache cannot be written at .*cache/rows: .*; set BENCH_CACHE to"):
        prepare(form, Budget(), seed=0)


def test_of_several_that_wait_one_makes_it(entry: Path):
    """Who waited for the lock takes what the other made."""
    make = Maker()
    entry.parent.mkdir()
    with FileLock(f"{entry}.lock"):
        waiting = subprocess.Popen(
            [sys.executable, "-c", HANG, str(entry)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        other = entry.with_name("other")
        kept(other, make).rename(entry)
    assert waiting.wait(timeout=30) == 0
    assert make.times == 1 and (entry / "config").read_text() == "32"

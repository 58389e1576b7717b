"""What `bench list` keeps of cards: quick, and never of other code than there is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench import catalogue, registry
from tests.bench.test_cli import loaded
from tests.bench.test_plugins import installed


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A made-up package with the method `made`, its only one: the others need not be read for these tests."""
    forget()
    installed(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    registry._entry_points.cache_clear()
    monkeypatch.setattr(registry.Registry, "names", lambda self, kind: ["made"])
    monkeypatch.setattr(registry.Registry, "libraries", lambda self, kind: [])
    yield tmp_path / "site" / "made_up_plugin"
    registry._entry_points.cache_clear()
    forget()


def forget() -> None:
    """Another process would import it anew."""
    for name in [name for name in sys.modules if name.startswith("made_up")]:
        del sys.modules[name]


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of what has been imported to be described."""
    names = []
    real = catalogue._row
    monkeypatch.setattr(catalogue, "_row", lambda kind, name: names.append(name) or real(kind, name))
    return names


@pytest.mark.parametrize("kind", ["methods", "tasks"])
def test_the_second_list_imports_nothing_heavy(kind, cache, tmp_path):
    rows = catalogue.rows(kind)
    printed, heavy = loaded("list", kind, cwd=tmp_path)
    assert heavy == set()
    assert all(row[0] in printed for row in rows)
    assert "low-rank" in printed or "rotten_tomatoes" in printed


def test_what_is_kept_is_what_the_class_says_and_is_read_once(cache, site, read):
    first, second = catalogue.rows("methods"), catalogue.rows("methods")
    assert first == second == [["made", "sparse", "parameter", "", "lr=0.001, weight_decay=0.0"]]
    assert read == ["made"]


@pytest.mark.parametrize("changed", ["inside.py", "other.py", "../made_up_aside.py"])
def test_a_changed_plugin_is_read_again_though_its_size_and_time_are_the_same(cache, site, read, changed):
    catalogue.rows("methods")
    file = site / changed
    about, text = file.stat(), file.read_text()
    file.write_text(text.replace("1", "2") if "1" in text else text.replace("Made up.", "Made UP."))
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert file.stat().st_size == about.st_size
    catalogue.rows("methods")
    assert read == ["made", "made"]


def test_so_it_is_where_our_own_code_has_changed(cache, site, read, tmp_path, monkeypatch):
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr(catalogue, "ROOMS", (room,))
    for name in ("base.py", "papers.bib"):
        catalogue.rows("methods")
        (room / name).write_text("changed")
    catalogue.rows("methods")
    assert read == ["made"] * 3


def test_a_broken_plugin_is_a_row_and_is_there_once_it_is_mended(cache, site):
    (site / "other.py").rename(site / "away.py")
    [[name, said]] = catalogue.rows("methods")
    assert name == "made" and "cannot be imported: ModuleNotFoundError" in said and "\n" not in said
    (site / "away.py").rename(site / "other.py")
    forget()
    assert catalogue.rows("methods")[0][1] == "sparse"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"made": 3}', '{"made": ["", [[1]]]}', "\x00"])
def test_a_spoilt_cache_is_read_past(cache, site, content):
    (cache / "lists").mkdir(parents=True)
    (cache / "lists" / "methods.json").write_text(content)
    assert catalogue.rows("methods")[0][:2] == ["made", "sparse"]


def test_without_a_cache_it_takes_longer(site, tmp_path, monkeypatch, read):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file" / "below"))
    assert catalogue.rows("methods") == catalogue.rows("methods")
    assert len(read) == 2

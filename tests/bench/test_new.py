"""`bench new` and `bench check` from the command line: what is written works, and what is broken is told in a line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.checks import checks
from bench.registry import Registry
from tests.bench.test_plugins import METHOD
from tests.conftest import PLUGINS, ROOT, read_records

FAULTS = {
    "unfrozen": "trained (bert): the backbone is not frozen: all of its ",
    "not_finite": "finite (bert): predictions are not finite before training",
    "idle_field": "field (unread): the field 'unread' has no effect",
    "wrong_signature": "signatures: adapt cannot be called as adapt(anatomy, task)",
}


def executed(*command: object, cwd: Path, **environ: str) -> str:
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, env=os.environ | environ, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("kind", ["method", "task"])
def test_what_is_written_passes_the_linter_and_keeps_its_promises(kind, bench, tmp_path):
    made = bench("new", kind, "two_words")
    folder = tmp_path / "adaptbench-two-words"
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1] == f"next: pip install --editable {folder.name} && bench check two_words"
    executed(sys.executable, "-m", "ruff", "check", ".", cwd=folder)
    executed(sys.executable, "-m", "ruff", "format", "--check", ".", cwd=folder)
    found = Registry((folder / "adaptbench_two_words.py",))
    for check in checks(found.get(f"{kind}s", "two_words").cls, architectures=("bert",)):
        assert check.outcome().status != "failed", check.outcome()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["method", "task"])
def test_what_is_written_passes_mypy(kind, bench, tmp_path):
    bench("new", kind, "mine", "here")
    executed(sys.executable, "-m", "mypy", ".", cwd=tmp_path / "here", PYTHONPATH=str(ROOT))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lora", "another method is already called so"),
        ("peft", "is a library whose methods are offered"),
        ("class", "is a word of Python"),
        ("Mine", "takes up to 40 small letters"),
        ("my-method", "takes up to 40 small letters"),
        ("../mine", "takes up to 40 small letters"),
        ("1mine", "takes up to 40 small letters"),
        ("mine_", "takes up to 40 small letters"),
        ("ä", "takes up to 40 small letters"),
        ("m" * 41, "takes up to 40 small letters"),
        ("", "takes up to 40 small letters"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, said, bench, tmp_path):
    ended = bench("new", "method", name)
    assert ended.returncode == 1 and said in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("adaptbench*"))


def test_a_methods_name_is_free_for_a_task(bench, tmp_path):
    assert bench("new", "task", "lora").returncode == 0


@pytest.mark.parametrize("there", ["file", "folder", "dangling", "file/below"])
def test_what_is_there_is_left_alone(there, bench, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    ended = bench("new", "method", "mine", there)
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_text() == "mine" and not list((tmp_path / "folder").iterdir())


def test_check_names_every_fault_in_a_line_with_how_to_mend_it(bench):
    ended = bench("check", PLUGINS / "broken.py", "--architecture", "bert")
    assert ended.returncode == 1 and not ended.stderr
    about = dict(zip(FAULTS, ended.stdout.split(" (bench_plugin_")[1:], strict=False))
    names = ("unfrozen", "not_finite", "idle_field", "wrong_signature")
    assert tuple(about) == names
    for name, said in zip(names, about.values(), strict=True):
        lines = said.splitlines()
        [index] = [index for index, line in enumerate(lines) if FAULTS[name] in line]
        assert lines[index].startswith("  FAILED") and "to mend it: " in lines[index + 1]


def test_a_plugin_that_cannot_be_imported_is_told_and_the_others_are_checked(bench, tmp_path):
    (tmp_path / "gone.py").write_text("import nowhere_to_be_found\n")
    ended = bench("check", "gone.py", "no_such_module:Mine", PLUGINS / "colours.py")
    assert ended.returncode == 1 and not ended.stderr
    assert "FAILED   import: " in ended.stdout and "No module named 'nowhere_to_be_found' (line 1)" in ended.stdout
    assert "no_such_module:Mine cannot be imported" in ended.stdout
    assert "no check of 10 fails" in ended.stdout


HANGS = """
import time


class Hangs(Made):
    card = dataclasses.replace(Made.card, name="hangs")
    seconds: float = 0.0

    def unsupported(self, anatomy, task):
        try:
            time.sleep(1000)
        except Exception:  # as whoever tries again
            pass
"""


def test_a_check_that_hangs_is_told_and_the_other_plugins_are_checked(bench, tmp_path):
    made = METHOD.format(name="made", imports="import dataclasses", body="anatomy.freeze()")
    (tmp_path / "hangs.py").write_text(made + HANGS)
    began = time.monotonic()
    ended = bench("check", "hangs.py", "zero_shot", "--architecture", "bert", "--time-limit", "1 s")
    assert ended.returncode == 1 and not ended.stderr
    [line] = [line for line in ended.stdout.splitlines() if "TookTooLong" in line]
    assert line.startswith("  FAILED   applies: TookTooLong: it took longer than 1 s (line ")
    assert "to mend it: mend what hangs, or give it longer: --time-limit" in ended.stdout
    assert "zero_shot (" in ended.stdout and time.monotonic() - began < 1000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name the plugins to check, or --all"),
        (("lroa",), "no method or task 'lroa'; did you mean 'lora'?"),
        (("lora", "--set", "rank"), "--set: takes name=value, as in rank=4"),
        (("lora", "--architecture", "brt"), "unknown architecture 'brt'; did you mean 'bert'?"),
        (("json:dumps",), "neither of methods.base.MethodBase nor of tasks.base.Task"),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments, said, bench):
    ended = bench("check", *arguments)
    assert ended.returncode == 1 and said in ended.stderr and len(ended.stderr.splitlines()) == 1


def test_a_hyperparameter_can_be_set_and_what_does_not_fit_a_tiny_model_is_told(bench):
    ended = bench("check", "lora", "--architecture", "bert", "--set", "rank=64")
    assert ended.returncode == 1
    assert "on a tiny model rank 64 exceeds the dimension of query" in ended.stdout


@pytest.mark.exhaustive
def test_broken_plugins_stop_no_suite(bench, write_suite, tmp_path):
    """Those that cannot be imported or trained fail alone, with a reason of one line; what they promise is for `bench
    check`."""
    (tmp_path / "gone.py").write_text("import nowhere_to_be_found\nNAME = 'gone'\n")
    files = [str(PLUGINS / "colours.py"), str(PLUGINS / "broken.py"), "gone.py"]
    ended = bench("run", write_suite(methods=["gone", *FAULTS, "head"], plugins=files))
    records = {record["cell"]["label"]: record for record in read_records(tmp_path / "results" / "tiny").values()}
    assert {label: record["status"] for label, record in records.items()} == {
        "unfrozen": "trained", "not_finite": "failed", "idle_field": "trained", "wrong_signature": "failed",
        "head": "trained",
    }  # fmt: skip
    assert ended.returncode == 1 and "(2 of 5 cells failed; 1 left out, as method gone: " in ended.stdout
    assert "not finite" in records["not_finite"]["reason"]
    assert records["wrong_signature"]["reason"].startswith("TypeError: WrongSignature.adapt() takes 2 positional")
    assert not any("\n" in (record["reason"] or "") for record in records.values())


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """A fresh one, which sees what this one has installed; nothing is fetched. Returns its Python."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    executed(sys.executable, "-m", "venv", "--without-pip", folder, cwd=ROOT)
    [packages] = folder.glob("lib/python*/site-packages")
    here = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    lines = [f"import site; site.addsitedir({path!r})\n" for path in here]
    (packages / "beside.pth").write_text("".join(lines))
    return folder / "bin" / "python"


@pytest.mark.parametrize(
    "kind", [pytest.param("method", marks=pytest.mark.exhaustive), pytest.param("task", marks=pytest.mark.slow)]
)
def test_a_new_plugin_goes_from_nothing_into_a_report(kind, environment, bench, write_suite, backbones, tmp_path):
    """Installed in a fresh environment it is found, keeps its promises, passes its own tests, runs and is reported;
    nothing in the repository is touched. The backbone spells out words that it does not know."""
    name = f"fresh_{kind}"
    assert bench("new", kind, name, "plugin").returncode == 0
    pip = (sys.executable, "-m", "pip", "--python", environment, "install", "--quiet", "--no-deps")
    executed(*pip, "--no-build-isolation", "--no-index", "--editable", tmp_path / "plugin", cwd=tmp_path)
    own = {"PYTHONPATH": str(ROOT), "BENCH_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}
    command = (environment, "-m", "bench")
    assert name in executed(*command, "list", f"{kind}s", cwd=tmp_path, **own)
    assert "no check of" in executed(*command, "check", name, "--architecture", "bert", cwd=tmp_path, **own)
    executed(environment, "-m", "pytest", "-q", cwd=tmp_path / "plugin", **own)
    axes = {"methods": ["head", name]} if kind == "method" else {"tasks": [name]}
    executed(*command, "run", write_suite(backbones=[str(backbones["encoder"])], **axes), cwd=tmp_path, **own)
    executed(*command, "report", "tiny", cwd=tmp_path, **own)
    [page] = (tmp_path / "results" / "tiny" / "report").glob("*.html")
    assert f"Fresh {kind}" in page.read_text()

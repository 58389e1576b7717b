"""A plugin that is broken costs a suite its own cells, with the reason in a line wherever failures are told."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench import api, contained, plugin_files, registry
from bench.merging import merge
from bench.registry import Registry
from bench.resolved_suite import ResolvedSuite
from bench.suite import Suite, SuiteError
from records.record import Manifest
from records.store import RecordStore
from reports.analysis.analysis import analyse
from reports.model.prose import plain
from reports.results import read
from reports.sections import limitations, unfinished
from tests.bench.test_plugins import METHOD
from tests.conftest import PLUGINS, read_records
from tests.reports import synthetic_results as synthetic

SOUND = METHOD.format(name="mine", imports="", body="pass")
COLOURS = str(PLUGINS / "colours.py")
HOLDING_ON = "while True:\n    try:\n        while True: pass\n    except Exception: pass"
# How a plugin file is broken, and what is said of it.
FAULTS = {
    "import error": (METHOD.format(name="mine", imports="import nowhere_to_be_found", body="pass"),
                     "No module named 'nowhere_to_be_found' (line 3)"),
    "no Python": (SOUND + "\ndef f(:\n", "SyntaxError"),
    "an exit": (METHOD.format(name="mine", imports="raise SystemExit(3)", body="pass"), "SystemExit: 3"),
    "an exit of the process": (METHOD.format(name="mine", imports="import os; os._exit(0)", body="pass"),
                               "os._exit(0)"),
    "a hang": (METHOD.format(name="mine", imports="while True: pass", body="pass"), "took longer than 1 s"),
    "a hang that holds on": (METHOD.format(name="mine", imports=HOLDING_ON, body="pass"), "took longer than 1 s"),
    "no plugin": ("class Mine:\n    card = 'mine'\n", "holds no subclass of Method or Task"),
    "no card": (SOUND.replace("card: ClassVar", "cart: ClassVar"), "holds no subclass of Method or Task with a card"),
    "a method without what makes it one": (SOUND.replace("def adapt", "def adopt"), "holds no subclass of Method"),
    "a signature of its own": (SOUND + "\n    def phases(self, anatomy):\n        return ()\n",
                               "cannot be used: TypeError: Made.phases() missing 1 required positional argument"),
    "a property that raises": (SOUND + "\n    @property\n    def extra_positions(self):\n        return {}['n']\n",
                               "cannot be used: KeyError: 'n'"),
    "a validator that raises": (
        SOUND + "\n    def model_post_init(self, context):\n        raise RuntimeError('no licence')\n", "no licence"),
    "an exit where it is read": (SOUND + "\n    def phases(self):\n        raise SystemExit(0)\n", "SystemExit: 0"),
    "an exit of the process there": (SOUND + "\n    def phases(self):\n        import os; os._exit(0)\n",
                                     "os._exit(0)"),
    "a hang there": (SOUND + "\n    def phases(self):\n        while True: pass\n", "took longer than 1 s"),
    "a value that is none": (SOUND + "\n    def phases(self):\n        return int('x')\n",
                             "cannot be used: ValueError: invalid literal for int"),
    "a property's value": (SOUND + "\n    @property\n    def extra_positions(self):\n        return int('x')\n",
                           "cannot be used: ValueError: invalid literal for int"),
    "half a method beside a whole one": (
        METHOD.format(name="whole", imports="", body="pass")
        + SOUND.replace("def adapt", "def adopt").replace("class Made", "class Half"), "'mine' lacks adapt"),
}  # fmt: skip


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(plugin_files, "LONGEST_IMPORT", 1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FAULTS)
def test_the_cells_of_others_are_those_of_a_suite_without_it(fault, write_suite, tmp_path):
    text, said = FAULTS[fault]
    (tmp_path / "plug.py").write_text(text)
    suite = Suite.load(str(write_suite(methods=["head", "mine"], plugins=[COLOURS, "plug.py"])))
    assert suite.cells == Suite.load(str(write_suite("alone", methods=["head"]))).cells
    assert suite.left_out.keys() == {"methods"} and suite.left_out["methods"].keys() == {"mine"}
    assert said in (reason := suite.left_out["methods"]["mine"]) and "\n" not in reason
    assert list(suite.resolved()["methods"]) == ["head"] and suite.resolved()["left_out"] == suite.left_out


def test_a_process_that_an_import_forks_does_not_go_on_as_one_of_ours(tmp_path):
    """Whether it comes back, or ends as those of multiprocessing do."""
    for end in ("", "\nif not child: os._exit(7)"):
        (tmp_path / "plug.py").write_text(
            METHOD.format(name="mine", imports=f"import os\nchild = os.fork(){end}", body="pass")
        )
        [made] = Registry().add(tmp_path / "plug.py")
        _, status = os.waitpid(sys.modules[made.cls.__module__].child, 0)
        assert os.waitstatus_to_exitcode(status) == (7 if end else 0)


def test_a_process_that_a_method_forks_while_it_is_read_ends(write_suite, tmp_path):
    forks = [
        "    def phases(self):",
        "        if os.fork(): os.wait()",
        "        else: (pathlib.Path(__file__).parent / 'forked').touch()",
        "        return super().phases()",
    ]
    text = METHOD.format(name="mine", imports="import os, pathlib", body="pass")
    (tmp_path / "plug.py").write_text("\n".join([text, *forks]))
    suite = Suite.load(str(write_suite(methods=["head", "mine"], plugins=[COLOURS, "plug.py"])))
    (tmp_path / f"reader-{os.getpid()}").touch()  # which a child that came back would do as well
    assert (tmp_path / "forked").exists() and suite.left_out == {}
    assert len(list(tmp_path.glob("reader-*"))) == 1


def test_what_is_limited_within_something_that_is_limited_ends_no_later():
    began = time.monotonic()

    def wait() -> None:
        while time.monotonic() - began < 5:
            pass

    def inner() -> None:
        with contained.contained(0.2), contained.contained(30):
            wait()

    def outer() -> None:  # nor does its limit end with the inner one
        with contained.contained(0.2):
            with contained.contained(30):
                pass
            wait()

    for work in (inner, outer):
        with pytest.raises(contained.TookTooLong):
            work()
    assert time.monotonic() - began < 5


def test_what_a_plugin_had_finished_before_it_broke_stays(bench, write_suite, tmp_path):
    plugin = tmp_path / "plug.py"
    plugin.write_text(SOUND)
    path = write_suite(methods={"head": {}, "mine": {"lr": 1e-4}}, plugins=[COLOURS, "plug.py"])
    assert bench("run", path).returncode == 0
    results = tmp_path / "results" / "tiny"
    before = read(results)
    assert len(before.cells) == 2 and set(before.cells["status"]) == {"trained"}

    plugin.write_text(f"import nowhere_to_be_found\n{SOUND}")
    for _ in range(2):  # what was kept is kept again
        assert bench("run", path).returncode == 1
        after = read(results)
        assert after.cells["score"].to_dict() == before.cells["score"].to_dict()
        assert after.manifest.left_out and after.manifest.cards == before.manifest.cards
    assert "predictions of 2 cells" in bench("status", "tiny").stdout
    assert "mine" in analyse(after).results.labels


def test_a_broken_task_takes_its_mixtures_and_who_learns_from_it_with_it(write_suite, tmp_path):
    (tmp_path / "plug.py").write_text("import nowhere_to_be_found\nNAME = 'gone'\n")
    methods = {"head": {}, "spot": {"source": "gone"}}
    tasks = ["colours", "gone", "mixture:colours+gone"]
    suite = Suite.load(str(write_suite(methods=methods, tasks=tasks, plugins=[COLOURS, "plug.py"])))
    assert [(cell.label, cell.task) for cell in suite.cells.values()] == [("head", "colours")]
    assert {kind: list(found) for kind, found in suite.left_out.items()} == {
        "tasks": ["gone", "mixture:colours+gone"], "methods": ["spot"],
    }  # fmt: skip
    # As it comes back from a job of a cluster that has read it.
    assert ResolvedSuite.model_validate_json(ResolvedSuite.of(suite).model_dump_json()).left_out == suite.left_out


def test_what_raises_where_the_suite_is_held_against_the_backbone_is_left_out(write_suite, tmp_path):
    (tmp_path / "plug.py").write_text(SOUND + "\n    def out_of_range(self, anatomy):\n        return anatomy.tail\n")
    suite = Suite.load(str(write_suite(methods=["head", "mine"], plugins=[COLOURS, "plug.py"])))
    assert "AttributeError: 'Anatomy' object has no attribute 'tail'" in suite.left_out["methods"]["mine"]
    assert [cell.label for cell in suite.cells.values()] == ["head"]


def test_a_misspelt_name_is_a_mistake_also_beside_a_broken_file(write_suite, tmp_path):
    (tmp_path / "plug.py").write_text(f"import nowhere_to_be_found\n{SOUND}")
    path = write_suite(methods=["haed", "mine"], plugins=[COLOURS, "plug.py"])
    with pytest.raises(SuiteError) as caught:
        Suite.load(str(path))
    found = str(caught.value).splitlines()
    assert len(found) == 2
    assert "nowhere_to_be_found" in found[0] and "unknown method 'haed'; did you mean 'head'?" in found[1]


def test_where_nothing_remains_the_suite_is_refused_with_the_reasons(write_suite, tmp_path):
    (tmp_path / "plug.py").write_text(f"import nowhere_to_be_found\n{SOUND}")
    path = write_suite(methods=["mine", "mine@again"], plugins=[COLOURS, "plug.py"])
    with pytest.raises(SuiteError, match=r"methods\.mine: .*nowhere.*\n.*methods\.mine@again: .*nowhere"):
        Suite.load(str(path))


def test_a_measure_that_all_cells_ask_for_is_not_left_out(write_suite, tmp_path):
    (tmp_path / "plug.py").write_text("import nowhere_to_be_found\nNAME = 'gone'\n")
    path = write_suite(forgetting="gone", plugins=[COLOURS, "plug.py"])
    with pytest.raises(SuiteError, match=r"forgetting: .*nowhere_to_be_found"):
        Suite.load(str(path))


def test_a_broken_file_that_is_not_needed_is_a_note(write_suite, tmp_path):
    (tmp_path / "plug.py").write_text("import nowhere_to_be_found\n")
    suite = Suite.load(str(write_suite(plugins=[COLOURS, "plug.py"])))
    assert suite.left_out == {} and "left_out" not in suite.resolved()
    [note] = suite.notes()
    assert note.startswith("not read, and nothing of this suite is known to be in it: ") and "nowhere" in note


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Offers methods by entry points, as a package that is installed does."""

    def offer(points: str, code: str) -> None:
        info = tmp_path / "site" / "broken-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        (tmp_path / "site" / "gone_module.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path / "site")
        clear()

    def clear() -> None:
        sys.modules.pop("gone_module", None)
        for each in (registry._entry_points, registry._makers, registry._libraries):
            each.cache_clear()

    yield offer
    clear()


INSTALLED = {
    "import error": ("gone = gone_module:Made", f"import nowhere_to_be_found\n{SOUND}", "No module named 'nowhere"),
    "an exit": ("gone = gone_module:Made", "import sys; sys.exit(2)", "SystemExit: 2"),
    "a hang": ("gone = gone_module:Made", "while True: pass", "took longer than 1 s"),
    "no such class": ("gone = gone_module:Mode", SOUND, "has no attribute 'Mode'"),
    "no class": ("gone = gone_module:Card", SOUND, "is no subclass of methods.base.MethodBase"),
    "another name": ("gone = gone_module:Made", SOUND, "its card is called 'mine'"),
    "no name of a class": ("gone = not a module!", "", "cannot be imported"),
    "no adapt": ("gone = gone_module:Made", SOUND.replace("def adapt", "def adopt"), "lacks adapt"),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", INSTALLED)
def test_so_it_is_with_one_that_is_installed_which_disturbs_nobody_else(fault, site, write_suite):
    points, code, said = INSTALLED[fault]
    site(f"[bench.methods]\n{points}\n[bench.task_makers]\n{points}\n[bench.method_libraries]\n{points}\n", code)
    assert Suite.load(str(write_suite())).left_out == {}
    found = Suite.load(str(write_suite("named", methods=["head", "gone"])))
    assert [cell.label for cell in found.cells.values()] == ["head"]
    assert said in (reason := found.left_out["methods"]["gone"]) and "\n" not in reason
    assert "gone:<name>" in Registry().made_to_order()


def test_no_package_takes_the_name_of_a_method_of_ours(site):
    ours = Registry().get("methods", "head")
    site("[bench.methods]\nhead = gone_module:Made\n", SOUND.replace('"mine"', '"head"'))
    assert Registry().get("methods", "head") == ours


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", INSTALLED)
def test_lists_and_checks_have_a_line_for_it(fault, site, bench, monkeypatch, tmp_path):
    points, code, said = INSTALLED[fault]
    site(f"[bench.methods]\n{points}\n", code)
    monkeypatch.setattr(Registry, "names", lambda self, kind: ["head", "gone"])
    monkeypatch.setattr(Registry, "libraries", lambda self, kind: [])
    listed = bench("list", "methods")
    assert listed.returncode == 0 and "head" in listed.stdout and "gone" in listed.stdout, listed.stderr
    checked = bench("check", "gone")
    assert checked.returncode == 1 and not checked.stderr
    assert "FAILED   import: " in checked.stdout and said in checked.stdout


def test_a_run_says_so_everywhere_and_goes_on_once_it_is_mended(bench, write_suite, tmp_path):
    plugin = tmp_path / "plug.py"
    plugin.write_text(f"import nowhere_to_be_found\n{SOUND}")
    path = write_suite(methods={"head": {}, "mine": {"lr": 1e-4}}, plugins=[COLOURS, "plug.py"])
    line = f"method mine: {plugin}: cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'"

    ran = bench("run", path)
    assert ran.returncode == 1 and "Traceback" not in ran.stdout + ran.stderr
    assert f"left out with its cells: {line}" in ran.stdout
    assert f"(1 left out, as {line}" in ran.stdout
    results = tmp_path / "results" / "tiny"
    assert {r["cell"]["label"]: r["status"] for r in read_records(results).values()} == {"head": "trained"}
    for command in (
        ("status", "tiny"),
        ("preview", path),
        ("plan", path),
        ("run", path, "--launcher", "slurm", "--dry-run"),
    ):
        assert line in bench(*command).stdout, command
    assert bench("preview", path).returncode == 1
    assert line in api.plan(path, results).left_out[0]
    assert repr(api.results(results)).endswith("1 cells, 1 trained, 1 left out>")

    plugin.write_text(SOUND)
    ran = bench("run", path)
    assert ran.returncode == 0, ran.stdout
    assert {r["cell"]["label"]: r["status"] for r in read_records(results).values()} == {
        "head": "trained", "mine": "trained",
    }  # fmt: skip
    assert "left out" not in bench("status", "tiny").stdout


LOST = {"methods": {"mine": "plug.py: cannot be imported: 50%_of & <it>"}, "tasks": {"gone": "no licence"}}


def test_the_report_has_a_sentence_on_it(tmp_path):
    cells = synthetic.grid(["full", "lora"], seeds=2)
    root = synthetic.write(
        tmp_path, cells, map(synthetic.record, cells), suite=synthetic.suite(cells) | {"left_out": LOST}
    )
    results = read(root)
    [said] = map(plain, unfinished.told(results))
    assert said == (
        "The last run could not load two methods and tasks that the suite names, and ran none of their cells: method"
        " mine: plug.py: cannot be imported: 50%_of & <it>; task gone: no licence."
    )
    assert [plain(each) for each in limitations.left_out(results)] == [said]


@pytest.mark.parametrize("told", [3, [], "x", {"methods": 3}, {"methods": ["a"]}, {"others": {"a": "b"}}])
def test_what_a_stranger_has_in_its_place_is_nothing(told):
    manifest = Manifest.model_validate(
        {"suite": {"left_out": told}, "cells": {}, "cards": {}, "environment": {}, "created": ""}
    )
    assert manifest.left_out == []


def test_a_merge_is_without_what_one_of_its_folders_has(tmp_path):
    def written(folder: str, seed: int, methods: list[str], lost: dict[str, dict[str, str]]) -> Path:
        cells = [synthetic.cell(method, "rotten_tomatoes", seed) for method in methods]
        suite = synthetic.suite(cells) | {"methods": {method: {} for method in methods}, "left_out": lost}
        return synthetic.write(tmp_path / folder, cells, map(synthetic.record, cells), suite=suite)

    one = written("one", 0, ["full"], {"methods": {"lora": "broken there", "mine": "broken"}})
    two = written("two", 1, ["full", "lora"], {"methods": {"mine": "broken"}})
    merge([one, two], tmp_path / "both")
    assert RecordStore(tmp_path / "both").manifest().left_out == ["method mine: broken"]

"""A plugin's code is part of a cell's identity: all that it imports, and nothing that it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.registry import PluginError, Registry
from bench.suite import Suite
from tests.conftest import PLUGINS, read_records

METHOD = """
from typing import ClassVar
{imports}
from methods.base import Card, Method


class Made(Method):
    card: ClassVar[Card] = Card("{name}", "Made", "sparse", "parameter", "x", "Made up.", "", "")

    def adapt(self, anatomy, task):
        {body}
        anatomy.model.requires_grad_(True)
"""


def write(path: Path, name: str, imports: str = "", body: str = "pass") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(METHOD.format(name=name, imports=imports, body=body))
    return path


def revision(*files: Path, name: str = "made") -> str:
    return Registry(files).get("methods", name).revision


# How a plugin comes to a helper, and the file of it that is changed.
HELPERS = {
    "a module": ("import helper", {"helper.py": "A = 1"}, "helper.py"),
    "a name of it": ("from helper import A", {"helper.py": "A = 1"}, "helper.py"),
    "by way of another": ("import first", {"first.py": "from second import A", "second.py": "A = 1"}, "second.py"),
    "by its name as text": (
        "import importlib\nimportlib.import_module('helper')", {"helper.py": "A = 1"}, "helper.py"
    ),
    "a package": ("import kit", {"kit/__init__.py": "", "kit/deep/inside.py": "A = 1"}, "kit/deep/inside.py"),
    "a folder": ("import kit.inside", {"kit/inside.py": "A = 1"}, "kit/inside.py"),
    "within a package": (
        "import kit", {"kit/__init__.py": "from . import one", "kit/one.py": "import helper", "helper.py": "A = 1"},
        "helper.py",
    ),
    "from a folder that is added to the path": (
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent / 'lib'))\nimport aside",
        {"lib/aside.py": "A = 1"}, "lib/aside.py",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", HELPERS)
def test_a_changed_helper_is_another_revision(tmp_path, way, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    imports, files, changed = HELPERS[way]
    plugin = write(tmp_path / "plug.py", "made", imports)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    before = revision(plugin)
    assert revision(plugin) == before
    (tmp_path / "beside.py").write_text("what nobody imports")
    assert revision(plugin) == before
    sys.modules.pop("aside", None)
    (tmp_path / changed).write_text("A = 2")
    assert revision(plugin) != before


def test_a_helper_that_is_imported_late_counts_and_is_found(tmp_path):
    plugin = write(tmp_path / "plug.py", "made", body="import late; late.value()")
    (tmp_path / "late.py").write_text("def value(): return 1")
    before = revision(plugin)
    (tmp_path / "late.py").write_text("def value(): return 2")
    assert revision(plugin) != before

    class Anatomy:
        model = type("Model", (), {"requires_grad_": lambda self, value: None})()

    Registry((plugin,)).get("methods", "made").cls().adapt(Anatomy, None)


def test_a_helper_changed_between_two_readings_is_the_new_one(tmp_path):
    plugin = write(tmp_path / "plug.py", "made", "from helper import A", "return A")
    for value in (1, 2):
        (tmp_path / "helper.py").write_text(f"A = {value}")
        assert Registry((plugin,)).get("methods", "made").cls().adapt(None, None) == value


def test_two_plugins_with_one_helper_both_depend_on_it_and_it_runs_once(tmp_path):
    one = write(tmp_path / "one.py", "one", "import helper")
    two = write(tmp_path / "two.py", "two", "import helper")
    (tmp_path / "helper.py").write_text("import sys\nsys.helped = getattr(sys, 'helped', 0) + 1")
    registry = Registry((one, two))
    assert sys.helped == 1
    before = {name: registry.get("methods", name).revision for name in ("one", "two")}
    # A worker imports the one that its cell needs, and must find the same.
    assert revision(two, name="two") == before["two"]
    (tmp_path / "helper.py").write_text("# changed")
    registry = Registry((one, two))
    assert all(registry.get("methods", name).revision != before[name] for name in before)


def counting(path: Path) -> str:
    """Lines of code that write down the process in which a file is executed."""
    return f"import os\nwith open({str(path)!r}, 'a') as file:\n    file.write(f'{{os.getpid()}}\\n')"


def test_a_plugin_file_is_executed_once_in_a_process_until_it_changes(write_suite, tmp_path):
    count = tmp_path / "count"
    plugin = write(tmp_path / "mine.py", "made", imports=counting(count))
    path = write_suite(methods=["made"], plugins=[str(PLUGINS / "colours.py"), str(plugin)])
    one, two = Suite.load(str(path)), Suite.load(str(path))
    of_registry = Registry((plugin,)).get("methods", "made").cls
    assert one.axes.methods["made"].plugin.cls is two.axes.methods["made"].plugin.cls is of_registry
    assert len(count.read_text().splitlines()) == 1
    plugin.write_text(plugin.read_text() + "\n# changed\n")
    assert Registry((plugin,)).get("methods", "made").cls is not of_registry
    assert len(count.read_text().splitlines()) == 2


@pytest.mark.parametrize("order", [("base", "derived"), ("derived", "base")])
def test_a_plugin_that_another_imports_is_one_module(tmp_path, order):
    files = {
        "base": write(tmp_path / "base.py", "base", imports=counting(tmp_path / "count")),
        "derived": tmp_path / "derived.py",
    }
    files["derived"].write_text(
        "import dataclasses\nfrom base import Made\n\n\nclass Derived(Made):\n"
        "    card = dataclasses.replace(Made.card, name='derived')\n"
    )
    registry = Registry(tuple(files[name] for name in order))
    base, derived = (registry.get("methods", name).cls for name in ("base", "derived"))
    assert issubclass(derived, base)
    assert len((tmp_path / "count").read_text().splitlines()) == 1


def test_a_run_executes_a_plugin_once_in_each_of_its_processes(write_suite, bench, tmp_path):
    plugin = write(tmp_path / "mine.py", "made", imports=counting(tmp_path / "count"))
    path = write_suite(methods=["made"], plugins=[str(PLUGINS / "colours.py"), str(plugin)], profile="brief")
    assert bench("run", path, "--slots", 1).returncode == 0
    processes = (tmp_path / "count").read_text().splitlines()
    assert len(processes) == len(set(processes)) == 3  # the command, the cell, its cost profile


def test_helpers_of_one_name_in_two_folders_are_refused(tmp_path):
    files = [write(tmp_path / folder / "plug.py", folder, "import helper") for folder in ("one", "two")]
    for file in files:
        (file.parent / "helper.py").write_text("A = 1")
    with pytest.raises(PluginError, match=r"two/helper\.py.*one/helper\.py.*another name"):
        Registry(tuple(files))
    assert revision(files[1], name="two")


def test_a_file_beside_a_plugin_takes_no_librarys_place(tmp_path):
    """`random` is Python's, `datasets` a library's, `tasks` our own."""
    plugin = write(tmp_path / "plug.py", "made", "import random, datasets, tasks.base")
    for name in ("random", "datasets", "tasks"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')")
    assert revision(plugin)


def test_the_folder_may_move(tmp_path):
    plugin = write(tmp_path / "here" / "plug.py", "made", "import kit.inside")
    (tmp_path / "here" / "kit").mkdir()
    (tmp_path / "here" / "kit" / "inside.py").write_text("A = 1")
    before = revision(plugin)
    (tmp_path / "here").rename(tmp_path / "there")
    assert revision(tmp_path / "there" / "plug.py") == before


def test_a_plugin_that_changes_folder_leaves_paths_where_they_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Registry((write(tmp_path / "made.py", "made", imports="import os\nos.chdir('/')"),))
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise BaseException('no GPU')"])
def test_a_plugin_that_ends_while_it_is_imported_is_one_line(tmp_path, end):
    with pytest.raises(PluginError, match=r"made.py: cannot be imported: (SystemExit|BaseException)") as caught:
        Registry((write(tmp_path / "made.py", "made", imports=f"import sys\n{end}"),))
    assert "\n" not in str(caught.value)


def test_a_plugin_that_cannot_be_imported_is_one_line_with_its_own(tmp_path):
    for body in ("1 / 0", "import nowhere_to_be_found", "raise SystemExit(3)", "def f(:"):
        (tmp_path / "plug.py").write_text(f"\n{body}\n")
        with pytest.raises(PluginError) as caught:
            Registry((tmp_path / "plug.py",))
        assert "line 2" in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_the_class_that_is_derived_from_counts_as_well(tmp_path, monkeypatch):
    from methods.lowrank.lora import LoRA

    plugin = tmp_path / "plug.py"
    plugin.write_text(
        "import dataclasses\nfrom methods.lowrank.lora import LoRA\n\n\nclass Mine(LoRA):\n"
        "    card = dataclasses.replace(LoRA.card, name='made')\n    revision = 1\n"
    )
    before = revision(plugin)
    monkeypatch.setattr(LoRA, "revision", LoRA.revision + 1)
    assert revision(plugin) != before


def installed(site: Path, *files: str) -> None:
    info = site / "made_up-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.methods]\nmade = made_up_plugin.inside:Made\n")
    write(site / "made_up_plugin" / "inside.py", "made", "from made_up_plugin.other import A\nimport made_up_aside")
    (site / "made_up_plugin" / "other.py").write_text("A = 1")
    (site / "made_up_aside.py").write_text("A = 1")


def test_an_installed_plugin_of_somebody_else_counts_with_its_code(tmp_path, monkeypatch):
    from bench import registry

    assert Registry().get("methods", "lora").revision.isdigit()  # built in: the class's own number
    installed(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    registry._entry_points.cache_clear()
    try:
        found = [Registry().get("methods", "made").revision]
        for changed in ("made_up_plugin/inside.py", "made_up_plugin/other.py", "made_up_aside.py"):
            with (tmp_path / "site" / changed).open("a") as file:
                file.write("\n# changed\n")
            found.append(Registry().get("methods", "made").revision)
    finally:
        registry._entry_points.cache_clear()
    assert len(set(found)) == 4


def test_cells_depend_on_the_plugins_they_need_and_no_others(write_suite, tmp_path):
    mine = write(tmp_path / "mine.py", "mine", "import helper")
    (tmp_path / "helper.py").write_text("A = 1")
    kinds, colours = PLUGINS / "kinds.py", PLUGINS / "colours.py"
    path = write_suite(
        methods=["head", "mine"], tasks=["colours", "mixture:colours+rotten_tomatoes", "tags"],
        plugins=list(map(str, (mine, kinds, colours))),
    )  # fmt: skip
    suite = Suite.load(str(path))
    needed = {(cell.label, cell.task.partition(":")[0]): suite.plugin_files(cell) for cell in suite.cells.values()}
    assert needed == {
        ("head", "colours"): (colours,), ("head", "mixture"): (colours,), ("head", "tags"): (kinds,),
        ("mine", "colours"): (mine, colours), ("mine", "mixture"): (mine, colours), ("mine", "tags"): (mine, kinds),
    }  # fmt: skip
    ids = {cell_id: cell.label for cell_id, cell in suite.cells.items()}
    (tmp_path / "helper.py").write_text("A = 2")
    kept = ids.keys() & Suite.load(str(path)).cells.keys()
    assert {ids[cell_id] for cell_id in kept} == {"head"} and len(kept) == 3


@pytest.mark.exhaustive
def test_what_one_plugin_patches_is_not_patched_for_the_cells_of_others(write_suite, bench_process, tmp_path):
    """A plugin takes the steps out of the optimiser, at its import and for all: its own cells learn nothing."""
    write(tmp_path / "patches.py", "patches", "import torch\ntorch.optim.AdamW.step = lambda self, closure=None: None")
    path = write_suite(
        methods={"full": {"lr": 1e-3}, "patches": {"lr": 1e-3}}, profile=False,
        plugins=[str(PLUGINS / "colours.py"), str(tmp_path / "patches.py")],
    )  # fmt: skip
    assert bench_process("run", path, "--slots", 1).returncode == 0
    found = read_records(tmp_path / "results" / "tiny").values()
    losses = {r["cell"]["label"]: [line["validation_loss"] for line in r["history"]] for r in found}
    assert losses["patches"][0] == pytest.approx(losses["patches"][1], abs=1e-6)
    assert abs(losses["full"][0] - losses["full"][1]) > 1e-4

"""bench import peft: a folder of result files becomes a results folder, once, and whatever is wrong in one of them."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from bench.importing import import_peft
from records.formats.peft_file import LONGEST
from records.store import RecordStore, ResultsError
from tests.records.formats.peft_files import images, metamath, write
from tests.reports import synthetic_results


@pytest.fixture
def published(tmp_path):
    return write(tmp_path / "published", metamath("lora/tiny-1B-rank8"), metamath("ia3/tiny-1B-default", right=600))


def contents(root) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def scores(root) -> dict[str, float]:
    return {record.cell.label: record.test["accuracy"] for record in RecordStore(root).records()}


def test_every_file_is_a_cell_with_its_file_beside_it(published, tmp_path):
    found = import_peft(published, tmp_path / "results")
    assert (sorted(found.new), found.faults) == (["ia3/tiny-1B-default", "lora/tiny-1B-rank8"], [])
    store = RecordStore(tmp_path / "results")
    assert scores(store.root) == {"lora/rank8": 660 / 1319, "ia3/default": 600 / 1319}
    for record in store.records():
        original = (published / record.published.file).read_bytes()
        assert store.kept(record, "published.json") == original
        assert record.published.digest == hashlib.sha256(original).hexdigest()


def test_cards_have_the_families_of_this_benchmark(published, tmp_path):
    write(published, metamath("new/x", run_info__peft_config={"peft_type": "NEVER_HEARD"}), images())
    write(published, metamath("full/y", run_info__peft_config=None))
    import_peft(published, tmp_path / "results")
    cards = RecordStore(tmp_path / "results").manifest().cards
    families = {name: card.family for name, card in cards.methods.items()}
    assert families == {
        "peft:lora": "low-rank", "peft:oft": "low-rank", "peft:never_heard": "other",
        "full": "baseline",
    }  # fmt: skip
    assert cards.tasks["image-gen"].scales["drift"].higher_is_better is False
    assert "cobbe2021gsm8k" in cards.tasks["metamathqa"].bibtex


def test_a_second_import_adds_nothing(published, tmp_path):
    import_peft(published, tmp_path / "results")
    before = contents(tmp_path / "results")
    found = import_peft(published, tmp_path / "results")
    assert (found.new, found.replaced, len(found.known)) == ([], [], 2)
    assert contents(tmp_path / "results") == before


@pytest.mark.parametrize("change", [{"right": 700}, {"run_info__train_config__optimizer_kwargs": {"lr": 1e-3}}])
def test_a_changed_file_takes_the_place_of_the_one_before_and_it_is_said(published, tmp_path, change):
    import_peft(published, tmp_path / "results")
    write(published, metamath("lora/tiny-1B-rank8", **change))
    found = import_peft(published, tmp_path / "results")
    assert (found.new, found.replaced, len(found.known)) == ([], ["lora/tiny-1B-rank8"], 1)
    assert "lora/tiny-1B-rank8: its file has changed; the new one took its place" in found.lines
    store = RecordStore(tmp_path / "results")
    assert scores(store.root)["lora/rank8"] == change.get("right", 660) / 1319
    assert {path.name for path in (store.root / "cells").iterdir()} == set(store.manifest().cells)
    assert len(store.manifest().cells) == 2


def test_files_of_another_folder_are_added(published, tmp_path):
    import_peft(published, tmp_path / "results")
    import_peft(write(tmp_path / "more", metamath("boft/tiny-1B-default")), tmp_path / "results")
    assert set(scores(tmp_path / "results")) == {"lora/rank8", "ia3/default", "boft/default"}


def test_labels_are_told_apart(tmp_path):
    folder = write(tmp_path / "published", metamath("lora/tiny-1B-x"), metamath("lora/x"))
    import_peft(folder, tmp_path / "results")
    labels = list(scores(tmp_path / "results"))
    assert len(labels) == 2 and labels[0] == "lora/x" and labels[1].startswith("lora/x@")


def broken(folder):
    (folder / "broken.json").write_text("{")


def a_link(folder):
    outside = folder.parent / "outside.json"
    outside.write_text(json.dumps(metamath("vera/tiny-1B-secret")))
    (folder / "broken.json").symlink_to(outside)


def a_huge_file(folder):
    with (folder / "broken.json").open("wb") as file:
        file.truncate(300 * 2**20)


def a_strange_name(folder):
    (folder / "broken\x1b[31m\n.json").write_text("{}")


def the_same_experiment(folder):
    (folder / "z.json").write_text(json.dumps(metamath("lora/tiny-1B-rank8", right=1)))


FAULTS = {
    "broken": (broken, "broken.json: is no JSON that can be read"),
    "a link": (a_link, "broken.json: is a link"),
    "a folder": (lambda folder: (folder / "broken.json").mkdir(), "broken.json: is a folder"),
    "a fifo": (lambda folder: os.mkfifo(folder / "broken.json"), "broken.json: is not a regular file"),
    "huge": (a_huge_file, f"broken.json: is larger than {LONGEST // 2**20} MiB"),
    "a strange name": (a_strange_name, r"broken\x1b[31m\n.json: run_info: Field required"),
    "twice": (the_same_experiment, "z.json: is of the experiment lora/tiny-1B-rank8, as lora--tiny-1B-rank8.json is"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_used_is_one_line_and_the_rest_is_imported(published, tmp_path, fault):
    spoil, said = FAULTS[fault]
    spoil(published)
    found = import_peft(published, tmp_path / "results")
    assert len(found.faults) == 1 and found.faults[0].startswith(said), found.faults
    assert "\n" not in found.faults[0] and found.faults[0].isprintable()
    assert scores(tmp_path / "results") == {"lora/rank8": 660 / 1319, "ia3/default": 600 / 1319}


def test_a_folder_without_results_says_where_they_may_be(published, tmp_path):
    with pytest.raises(ResultsError, match=r"holds no result file \(\*\.json\); did you mean .*published\?"):
        import_peft(tmp_path, tmp_path / "results")


def test_nothing_is_read_into_the_results_of_a_run(published, tmp_path):
    usual = synthetic_results.write_usual(tmp_path / "usual")
    before = contents(usual)
    with pytest.raises(ResultsError, match="holds the results of a run; name another folder with --results"):
        import_peft(published, usual)
    assert contents(usual) == before


def test_the_command_line(published, bench, tmp_path):
    done = bench("import", "peft", published)
    assert (done.returncode, done.stderr) == (0, "")
    assert "imported 2 new and 0 changed experiments" in done.stdout
    assert "lora/rank8" in bench("status", "peft-published").stdout
    [cell] = [
        i for i, c in RecordStore(tmp_path / "results/peft-published").manifest().cells.items() if "lora" in c.label
    ]
    assert '"experiment": "lora/tiny-1B-rank8"' in bench("show", cell).stdout
    broken(published)
    assert bench("import", "peft", published).returncode == 1
    assert bench("import", "other", published).returncode == 2

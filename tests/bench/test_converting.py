"""`bench convert`: results go out as others have them, and what cannot is one line that leaves nothing behind."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import yaml

from bench.importing import import_peft
from records.store import RecordStore
from tests.records.formats.peft_files import images, metamath, write
from tests.reports import synthetic_results


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    root = synthetic_results.write_usual(tmp_path_factory.mktemp("usual") / "usual")
    return synthetic_results.keep_answers(root, 40)


def test_what_was_imported_is_exported_to_the_byte(bench, tmp_path):
    odd = metamath("boft/tiny-1B-odd", train_info__file_size=99_999_999, something_else={"kept": [1, None]})
    failed = metamath("vera/tiny-1B-failed", train_info__status="canceled", run_info__error_msg="too long")
    folder = write(tmp_path / "published", metamath(), images(), odd, failed)
    import_peft(folder, tmp_path / "results")
    done = bench("convert", "results", "--to", "peft", "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "out: wrote 4 result files as huggingface/peft has them\n"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_own_cells_are_files_of_the_same_schema(bench, usual, tmp_path):
    done = bench("convert", usual, "--to", "peft", tmp_path / "out")
    assert "wrote 50 result files" in done.stdout and "left out 4 cells that have no result" in done.stdout
    found = [json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()]
    assert len(found) == 50 and all(set(each) == set(metamath()) for each in found)
    assert [each["run_info"]["error_msg"] for each in found if each["train_info"]["status"] == "failed"] == [
        synthetic_results.OUT_OF_MEMORY
    ]


def test_tables_have_a_row_for_each_cell_and_each_answer(bench, usual, tmp_path):
    done = bench("convert", usual, "--to", "parquet", "tables", "--licence", "cc-by-4.0")
    assert done.returncode == 0, done.stderr
    cells, answers = (pd.read_parquet(tmp_path / "tables" / f"{name}.parquet") for name in ("cells", "predictions"))
    store = RecordStore(usual)
    records = {record.id: record for record in store.records()}
    assert list(cells["id"]) == list(store.manifest().cells)
    assert cells["status"].value_counts().to_dict() == {"ok": 48, "n/a": 3, "failed": 1, "trained": 1, "not run": 1}
    scored = cells[cells["score"].notna()].set_index("id")
    assert scored["score"].to_dict() == {i: record.test["accuracy"] for i, record in records.items() if record.test}
    assert scored["peak_memory_bytes"].dropna().to_dict() == {
        i: record.cost.peak_memory_bytes for i, record in records.items() if record.cost
    }
    assert json.loads(cells["hyperparameters"][0]) == next(iter(store.manifest().cells.values())).hyperparameters
    # Each cell's answers average to its score, by a reader that knows nothing of us.
    assert answers.groupby("cell")["score_accuracy"].mean().to_dict() == pytest.approx(scored["score"].to_dict())
    right = answers["prediction"].map(json.loads) == answers["reference"].map(json.loads)
    assert (right == answers["score_accuracy"].astype(bool)).all()


def test_the_tables_are_a_data_set(bench, usual, tmp_path, monkeypatch):
    from datasets import load_dataset

    bench("convert", usual, "--to", "parquet", "tables", "--licence", "cc-by-4.0")
    folder = str(tmp_path / "tables")
    cells = load_dataset(folder, "cells", split="results", cache_dir=str(tmp_path / "cache"))
    answers = load_dataset(folder, "predictions", split="results", cache_dir=str(tmp_path / "cache"))
    assert (len(cells), len(answers)) == (54, 49 * 40)
    card = (tmp_path / "tables" / "README.md").read_text()
    about = yaml.safe_load(card.split("---")[1])
    assert about["license"] == "cc-by-4.0" and about["pretty_name"] == "Results of embedded"
    assert "| `rotten_tomatoes` | Rotten Tomatoes | classification | MIT (package) |" in card
    assert "@inproceedings{hu2022lora" in card


def test_the_same_results_give_the_same_tables(bench, usual, tmp_path):
    for name in ("one", "two"):
        bench("convert", usual, "--to", "parquet", name)
    for name in ("cells.parquet", "predictions.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_is_there_is_not_written_over(bench, usual, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    done = bench("convert", usual, "--to", "parquet", "mine")
    assert done.stderr == "bench: mine: is there already; name a folder that is not, or an empty one\n"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_no_results_no_cells_and_the_wrong_format_for_the_hub(bench, usual, tmp_path):
    assert "no results here" in bench("convert", tmp_path, "--to", "peft", "out").stderr
    cells = synthetic_results.grid(("lora",), seeds=1)
    synthetic_results.write(tmp_path / "open", cells, [])
    done = bench("convert", "open", "--to", "every-eval-ever", "out")
    assert done.stderr == "bench: 2 cells, and none has a result to be written\n"
    done = bench("convert", usual, "--to", "peft", "out", "--push-to-hub", "somebody/results")
    assert done.stderr == "bench: --push-to-hub is for --to parquet, which is a data set; peft is not\n"
    assert [path.name for path in tmp_path.iterdir()] == ["open"]


@pytest.mark.parametrize("target", ["every-eval-ever", "parquet"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "is not the file that the record was written with"),
        (lambda path: (path.rename(path.parents[2] / "x"), path.symlink_to(path.parents[2] / "x")), "is a link"),
    ],
)
def test_answers_that_were_cut_or_lie_elsewhere_are_refused(bench, usual, tmp_path, target, spoil, reason):
    shutil.copytree(usual, tmp_path / "spoilt")
    path = sorted((tmp_path / "spoilt").glob("cells/*/predictions.parquet"))[0]
    spoil(path)
    done = bench("convert", "spoilt", "--to", target, "out")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"bench: {path.relative_to(tmp_path)}: ") and reason in done.stderr
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(("target", "rows"), [("every-eval-ever", 48), ("peft", 49), ("parquet", 54)])
def test_a_record_that_cannot_be_read_is_told_and_the_rest_is_written(bench, usual, tmp_path, target, rows):
    """Of 49 scored cells and a failed one, one that was cut."""
    shutil.copytree(usual, tmp_path / "spoilt")
    scored = [record.id for record in RecordStore(usual).records() if record.test]
    path = tmp_path / "spoilt" / "cells" / scored[0] / "record.json"
    path.write_bytes(path.read_bytes()[:-100])
    done = bench("convert", "spoilt", "--to", target, "out")
    assert done.returncode == 1 and f"wrote {rows} " in done.stdout, done
    assert f"out: 1 cells cannot be read, and are left out, as {scored[0]}: " in done.stdout
    assert str(tmp_path) not in done.stdout


def test_a_number_that_no_table_holds_is_one_line(bench, tmp_path):
    record = synthetic_results.record(synthetic_results.cell("lora", "rotten_tomatoes", 0))
    record.cost.train_flops = 10**30
    synthetic_results.write(tmp_path / "results", [record.cell], [record])
    done = bench("convert", "results", "--to", "parquet", "out")
    assert done.stderr.startswith("bench: a record has what a table cannot hold: ") and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_published_file_that_was_exchanged_is_refused(bench, tmp_path):
    import_peft(write(tmp_path / "published", metamath()), tmp_path / "results")
    [path] = tmp_path.glob("results/cells/*/published.json")
    path.write_text("{}")
    done = bench("convert", "results", "--to", "peft", "out")
    assert "is not the file that the record was written with" in done.stderr and not (tmp_path / "out").exists()


def test_a_published_file_that_is_gone_is_written_anew_from_its_record_and_it_is_said(bench, tmp_path):
    import_peft(write(tmp_path / "published", metamath()), tmp_path / "results")
    [path] = tmp_path.glob("results/cells/*/published.json")
    path.unlink()
    assert "1 of them anew from their records" in bench("convert", "results", "--to", "peft", "out").stdout
    made = json.loads((tmp_path / "out" / "lora--tiny-1B-rank8.json").read_text())
    assert made["train_info"]["metrics"][-1]["test accuracy"] == 660 / 1319

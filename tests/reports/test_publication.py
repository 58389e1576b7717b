"""`bench publish`: a folder that a static host serves as it is, in which every link leads somewhere and nothing is
private."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import threading
import urllib.request
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
import synthetic_results

from bench.importing import import_peft
from records import archive
from records.store import RecordStore, ResultsError
from reports import build_publication
from reports.build import Report
from reports.build_publication import publish
from reports.render import compiling
from tests.records.formats.peft_files import metamath
from tests.records.formats.peft_files import write as write_files
from tests.reports.conftest import blank


def without_latex(patch: pytest.MonkeyPatch) -> None:
    """Compiling takes most of the time."""
    patch.setattr(compiling.shutil, "which", lambda name: None)


def write(root: Path) -> Path:
    cells = synthetic_results.grid(("full", "lora"), seeds=2)
    records = [synthetic_results.record(each) for each in cells[:-2]]
    failed = synthetic_results.record(cells[-2], "failed", reason=f"cannot read {root}/data.csv")
    suite = synthetic_results.suite(cells) | {"name": "my.suite, v2"}
    synthetic_results.write(root, cells, [*records, failed], suite=suite)
    synthetic_results.keep_answers(root, 30)
    RecordStore(root).log(failed.id).write_text(f"Traceback: {root}/data.csv")
    return root


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("publication") / "results")


@pytest.fixture(scope="module")
def published(results: Path) -> Path:
    """The real thing, made once, and never changed."""
    with pytest.MonkeyPatch.context() as patch:
        without_latex(patch)
        blank(patch)
        said = publish(results, results.parent / "site").lines
    assert said[0] == "6 of 8 cells have a score" and "without a PDF" in said[1]
    return results.parent / "site"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of one page, where a test is not about the report."""

    def build(root: Path, folder: Path, *_: object, downloads: list[tuple[str, str]]) -> Report:
        page = folder / "index.html"
        page.write_text("".join(f'<a href="{address}">{title}</a>, ' for title, address in downloads))
        return Report(folder, page, None, ("a report",))

    monkeypatch.setattr(build_publication, "build_report", build)


class Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attributes if name in ("href", "src") and value]


def test_a_static_host_serves_the_page_and_all_that_it_links_to(published):
    """Links of the page, and those of its cells, which stand in its data."""
    page = (published / "index.html").read_text()
    links = [link for link in Links(page).found if not link.startswith(("#", "data:"))]
    local = [link for link in links if not link.startswith("https://")]
    assert {"records.tar.xz", "data/cells.parquet", "data/predictions.parquet", "manifest.json"} <= set(local)
    local += re.findall(r'"(results/cells/[0-9a-f]{12}/[a-z.]+)"', page)
    assert sum(link.endswith("record.json") for link in local) == 7 and not any("log.txt" in link for link in local)
    handler = partial(SimpleHTTPRequestHandler, directory=str(published))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for link in local:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{link}") as answer:
                assert answer.status == 200 and answer.read() == (published / link).read_bytes()
        server.shutdown()


def test_every_file_is_listed_with_its_checksum_and_nothing_is_private(published, results):
    listed = json.loads((published / "manifest.json").read_text())["files"]
    there = {path.relative_to(published).as_posix(): path for path in published.rglob("*") if path.is_file()}
    assert listed.keys() | {"manifest.json"} == there.keys()
    for name, entry in listed.items():
        data = there[name].read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    for name, path in there.items():
        assert str(results.parent).encode() not in path.read_bytes(), name
    assert not any(name.startswith("build/") or name.endswith((".log", ".txt", ".safetensors")) for name in there)


def test_the_archive_and_the_tables_hold_the_records(published, results, tmp_path):
    unpacked = archive.unpack(published / "records.tar.xz", tmp_path / "unpacked")
    before = {record.id: record.test for record in RecordStore(results).records()}
    assert {record.id: record.test for record in unpacked.records()} == before
    cells = pd.read_parquet(published / "data" / "cells.parquet").set_index("id")
    assert cells["score"].dropna().to_dict() == {i: test["accuracy"] for i, test in before.items() if test}
    assert len(pd.read_parquet(published / "data" / "predictions.parquet")) == 6 * 30


@pytest.mark.usefixtures("stand_in")
def test_what_is_published_can_be_published_again(published, tmp_path):
    publish(published / "results", tmp_path / "again")
    for name in ("records.tar.xz", "data/cells.parquet", "data/predictions.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (published / name).read_bytes()


@pytest.mark.usefixtures("stand_in")
def test_a_publication_is_replaced_and_nothing_else_is(results, tmp_path):
    site = tmp_path / "site"
    publish(results, site)
    before = (site / "manifest.json").read_bytes()
    publish(results, site)
    assert (site / "manifest.json").read_bytes() == before, "the same results give the same files"
    (site / "mine.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"format": "something else", "files": {}}')
    (tmp_path / "link").symlink_to(site)
    for name in ("site", "other", "link"):
        with pytest.raises(ResultsError, match="is there already; name a folder that is not, or an empty one"):
            publish(results, tmp_path / name)
    assert (site / "mine.txt").read_text() == "mine"


@pytest.mark.usefixtures("stand_in")
def test_where_something_private_would_go_out_the_earlier_one_stays(results, tmp_path, monkeypatch):
    site = tmp_path / "site"
    publish(results, site)
    before = (site / "manifest.json").read_bytes()
    monkeypatch.setattr(build_publication.Public, "_text", lambda self, text: text)
    with pytest.raises(ResultsError, match=r"would hold .*/results/, a place on this machine; nothing is"):
        publish(results, site)
    assert (site / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.usefixtures("stand_in")
def test_what_others_published_goes_out_as_it_is(tmp_path):
    """Their places may be called as ours are."""
    content = metamath(meta_info__pytorch_info=f"built in {Path.home()}/pytorch")
    import_peft(write_files(tmp_path / "files", content), tmp_path / "results")
    publish(tmp_path / "results", tmp_path / "site")
    [path] = tmp_path.glob("site/results/cells/*/published.json")
    assert path.read_bytes() == next((tmp_path / "files").iterdir()).read_bytes()


@pytest.mark.usefixtures("stand_in")
def test_the_pdf_is_offered_where_there_is_one(results, tmp_path, monkeypatch):
    build = build_publication.build_report

    def with_pdf(*arguments, **options):
        made = build(*arguments, **options)
        (made.folder / "report.pdf").write_bytes(b"%PDF-1.5")
        return dataclasses.replace(made, pdf=made.folder / "report.pdf")

    publish(results, tmp_path / "without")
    assert 'href="report.pdf"' not in (tmp_path / "without" / "index.html").read_text()
    monkeypatch.setattr(build_publication, "build_report", with_pdf)
    publish(results, tmp_path / "with")
    assert 'href="report.pdf"' in (tmp_path / "with" / "index.html").read_text()


@pytest.mark.usefixtures("stand_in")
def test_the_command(bench, results, tmp_path):
    done = bench("publish", results, "site")
    assert done.returncode == 0 and "wrote site: " in done.stdout, done.stderr
    again = bench("publish", "site", "elsewhere")
    assert again.returncode == 1 and again.stderr.count("\n") == 1 and not (tmp_path / "elsewhere").exists()

"""The pages of docs/ that report runs of ours, written from the records in docs/records.

    python -m reports.build_docs                          writes the pages anew
    python -m reports.build_docs --add RESULTS_FOLDER …   takes in the records of a finished run first

`make docs` and `make docs RECORDS=results/embedded` do the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import jinja2

from records import archive, files
from records.store import RecordStore, ResultsError
from reports import results as frame
from reports.analysis.analysis import Analysis, analyse
from reports.render import documentation

DOCS = Path(__file__).resolve().parents[1] / "docs"

# Each page, with the suites whose records it is written from.
PAGES: dict[str, tuple[str, ...]] = {
    "embedded": ("embedded",),
    "families": ("families", "masks"),
    "decoder": ("decoder",),
    # Each is the folder `tuning` in the results of a suite: `make docs RECORDS=results/embedded-tuned/tuning`.
    "learning-rates": ("embedded-tuned-search", "families-tuned-search", "decoder-tuned-search"),
}
SUITES = tuple(suite for suites in PAGES.values() for suite in suites)


def add(results: Path, docs: Path = DOCS) -> Path:
    """Takes the records of a finished run into `docs/records`, in place of those of an earlier run of the suite.
    Raises ResultsError where the folder holds no finished run of a suite that a page is about."""
    store = RecordStore(results)
    suite = str(store.manifest().suite.get("name"))
    if suite not in SUITES:
        raise ResultsError(f"{results}: holds the suite {suite!r}, of which no page speaks; known: {', '.join(SUITES)}")
    path = docs / "records" / f"{suite}{archive.ENDING}"
    files.write_atomically(path, archive.pack(store, suite))
    return path


def pages(docs: Path = DOCS) -> dict[str, str]:
    """By name, each page as the records have it. Raises ResultsError where these cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {suite: _read(docs / "records" / f"{suite}{archive.ENDING}", Path(folder)) for suite in SUITES}
        return {
            name: documentation.page(f"docs/{name}.md.jinja", {suite: runs[suite] for suite in suites})
            for name, suites in PAGES.items()
        }


def _read(path: Path, folder: Path) -> Analysis | None:
    return analyse(frame.read(archive.unpack(path, folder).root)) if path.exists() else None


def main(arguments: list[str] | None = None) -> int:
    """Says which pages have changed, and which suites have no records."""
    parser = argparse.ArgumentParser(prog="python -m reports.build_docs", description="Pages of docs/ from records.")
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="results folders of finished runs")
    given = parser.parse_args(arguments)
    try:
        for folder in given.add:
            print(f"wrote {add(folder)}")
        for name, text in pages().items():
            path = DOCS / f"{name}.md"
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                files.write_atomically(path, text)
                print(f"wrote {path}")
    except (ResultsError, jinja2.TemplateError) as error:
        print(f"build_docs: {error}", file=sys.stderr)
        return 1
    lacking = [suite for suite in SUITES if not (DOCS / "records" / f"{suite}{archive.ENDING}").exists()]
    if lacking:
        print(f"no records of {', '.join(lacking)}: their pages hold what was copied from runs by hand, and say so")
    return 0


if __name__ == "__main__":
    sys.exit(main())

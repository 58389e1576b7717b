"""What comes out stays what it was: texts, tables, macros and slides of made-up records, beside those that are kept."""

from __future__ import annotations

import difflib

import pytest

from tests.reports import rendered


@pytest.fixture(scope="module")
def fresh() -> dict[str, str]:
    return rendered.render()


NAMES = sorted(str(path.relative_to(rendered.KEPT)) for path in rendered.KEPT.rglob("*") if path.is_file())


def test_the_same_files_come_out(fresh: dict[str, str]):
    assert sorted(fresh) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_has_not_changed(fresh: dict[str, str], name: str):
    kept = (rendered.KEPT / name).read_text(encoding="utf-8")
    changed = "\n".join(difflib.unified_diff(kept.splitlines(), fresh.get(name, "").splitlines(), lineterm="", n=0))
    assert not changed, f"python -m tests.reports.rendered --write, if this is meant:\n{changed}"

"""A results folder and its report, made once for all tests that only read them."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_results

from reports.build import Report, build_report


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine methods, two tasks, three seeds; one cell failed, three n/a, one not run, one without cost."""
    return synthetic_results.write_usual(tmp_path_factory.mktemp("usual") / "results")


@pytest.fixture(scope="session")
def report(usual: Path) -> Report:
    return build_report(usual)

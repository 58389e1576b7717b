"""A hub on loopback with tiny models, and Python in a process of its own that loads from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks import glue
from tests.conftest import ROOT
from tests.hub import build
from tests.hub.server import Hub


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    for name in ("bert", "gpt2", "t5"):
        getattr(build, name)(folder / "models" / "tiny" / name)
    return folder


@pytest.fixture
def hub(tiny_models: Path, tmp_path: Path) -> Iterator[Hub]:
    """One of its own for every test, so that tests may spoil it."""
    folder = tmp_path / "hub"
    shutil.copytree(tiny_models, folder)
    with Hub(folder).serve() as served:
        yield served


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs code against the hub, with a cache of the test's own; keyword arguments are environment variables."""

    def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        own = {
            "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "BENCH_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=plain | own | environ, capture_output=True, text=True,
            timeout=300,
        )  # fmt: skip

    return run


@pytest.fixture
def rte(hub: Hub) -> Hub:
    """RTE with unlabelled test rows, as the real one."""
    hidden = [row | {"label": -1} for row in build.glue_rows(20, mark="hidden")]
    build.publish(
        hub, glue.RTE, {"train": build.glue_rows(400), "validation": build.glue_rows(30, mark="held"), "test": hidden}
    )
    return hub

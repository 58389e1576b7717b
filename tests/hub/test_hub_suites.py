"""Suites that need the hub: the built-in ones are valid, which takes no data and no weights, configurations are enough;
and one runs through to its report."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import yaml

from bench.suite import BUILT_IN
from records.record import Record
from records.store import RecordStore
from tasks import glue
from tests.hub.server import Hub

# Something of the same kind stands for every backbone.
STAND_INS = {"FacebookAI/roberta-base": "bert"}


@pytest.mark.exhaustive
def test_the_suites_are_valid(hub: Hub, python):
    """All in one process, which imports the methods once."""
    suites = {
        name: yaml.safe_load((BUILT_IN / f"{name}.yaml").read_text())
        for name in ("glue", "superglue", "scaling", "commonsense", "metamath")
    }
    for spec in dict.fromkeys(spec for suite in suites.values() for spec in suite["backbones"]):
        repo, _, commit = spec.partition("@")
        shutil.copytree(hub.path("models", f"tiny/{STAND_INS.get(repo, 'gpt2')}"), hub.path("models", repo))
        if commit:
            hub.pinned[repo] = commit
    done = python(
        "from bench.suite import Suite, SuiteError\n"
        f"for name in {list(suites)}:\n"
        "    try: print('CELLS', name, len(Suite.load(name).cells))\n"
        "    except SuiteError as error: print(name, error)\n"
    )
    for name, suite in suites.items():
        axes = [len(suite[axis]) for axis in ("backbones", "tasks", "methods", "seeds")]
        assert f"CELLS {name} {math.prod(axes)}\n" in done.stdout, done.stdout + done.stderr
    assert not any("model.safetensors" in request for request in hub.requests)


@pytest.mark.exhaustive
def test_glue_by_its_id_from_the_hub_to_a_report_and_again_without_the_hub(rte: Hub, python, tmp_path: Path):
    rows = [f"      {line}" for line in ("train_examples: 64", "epochs: 1", "batch_size: 16", "max_length: 32")]
    suite = tmp_path / "rte.yaml"
    suite.write_text(
        "\n".join(["backbones: [tiny/bert]", "methods: [full, lora]", "seeds: [0]", "tasks:", "  rte:", *rows])
    )

    def bench(*arguments: object, **environ: str) -> None:
        words = ["bench", *map(str, arguments)]
        done = python(f"import sys; sys.argv = {words!r}; from bench.cli import main; sys.exit(main())", **environ)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(results: Path, **environ: str) -> list[Record]:
        bench("run", suite, "--results", results, **environ)
        store = RecordStore(results)
        return [store.read(path.name) for path in sorted((results / "cells").iterdir())]

    first = run(tmp_path / "first")
    assert [record.status for record in first] == ["ok", "ok"]
    assert all(record.data.commits == {glue.REPO: glue.COMMIT} for record in first)
    assert all(record.cell.backbone_revision == rte.sha("models", "tiny/bert") for record in first)
    bench("report", tmp_path / "first")
    page = (tmp_path / "first" / "report" / "index.html").read_text()
    assert f"{100 * first[0].test['accuracy']:.1f}" in page
    assert (tmp_path / "first" / "report" / "report.pdf").stat().st_size
    # Nothing of ours is cached, so that data and weights come from the hub's cache.
    asked = len(rte.requests)
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1", "BENCH_CACHE": str(tmp_path / "empty")}
    again = run(tmp_path / "again", **gone)
    assert len(rte.requests) == asked
    assert [(record.id, record.test) for record in again] == [(record.id, record.test) for record in first]

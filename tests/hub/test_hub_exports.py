"""Exports go to the hub by its own library, and come back from there as adapters that were trained elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.server import Hub

pytest.importorskip("peft")

PUSH = """
from pathlib import Path
from bench.export.hub import UploadError, push
try:
    print("DONE", push(Path({folder!r}), {repo!r}))
except UploadError as error:
    print("ERROR", error)
"""
BACK = """
from peft import PeftModel
from transformers import AutoModelForSequenceClassification
from methods.library.peft_adapter import PeftAdapter
model = AutoModelForSequenceClassification.from_pretrained("tiny/bert", num_labels=2)
PeftModel.from_pretrained(model, {repo!r})
print("DIGESTS", PeftAdapter(path={repo!r}).digest == PeftAdapter(path={folder!r}).digest)
"""


@pytest.fixture
def adapter(tmp_path: Path, hub: Hub) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(hub.path("models", "tiny/bert"), num_labels=2)
    get_peft_model(model, LoraConfig(r=2, task_type="SEQ_CLS")).save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# An adapter\n")
    return tmp_path / "adapter"


def test_an_export_is_uploaded_and_found_there_by_peft_and_by_us(hub: Hub, python, adapter: Path):
    done = python(PUSH.format(folder=str(adapter), repo="somebody/mine"))
    assert f"DONE {hub.url}/somebody/mine" in done.stdout, done.stdout + done.stderr
    there = hub.path("models", "somebody/mine")
    for path in adapter.iterdir():
        assert (there / path.name).read_bytes() == path.read_bytes()
    back = python(BACK.format(folder=str(adapter), repo="somebody/mine"))
    assert "DIGESTS True" in back.stdout, back.stdout + back.stderr


def test_what_the_hub_refuses_is_one_line_and_the_folder_stays(hub: Hub, python, adapter: Path):
    hub.gated.add("others/theirs")
    refused = python(PUSH.format(folder=str(adapter), repo="others/theirs"))
    assert "was written, and not uploaded to others/theirs: " in refused.stdout, refused.stdout + refused.stderr
    assert "is no name of a repository" in python(PUSH.format(folder=str(adapter), repo="a name/with blanks")).stdout
    gone = python(PUSH.format(folder=str(adapter), repo="somebody/mine"), HF_ENDPOINT="http://127.0.0.1:9")
    assert "was written, and not uploaded to somebody/mine: " in gone.stdout, gone.stdout + gone.stderr
    assert sorted(path.name for path in adapter.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]

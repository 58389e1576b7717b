"""Adapters that were trained elsewhere: what does not fit, and what is no adapter, is refused with the reason."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

pytest.importorskip("peft")
from peft import LoraConfig, get_peft_model

from bench.suite_reader import elsewhere
from methods.anatomy import Anatomy
from methods.library.peft_adapter import PeftAdapter
from tests.methods.tiny import TASK, batch, head_of, logits, perturb, tiny

WEIGHTS = "adapter_model.safetensors"
KEY = "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As somebody saves an adapter who knows nothing of this benchmark."""
    torch.manual_seed(0)
    model = get_peft_model(tiny("bert"), LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS"))
    perturb((name, p) for name, p in model.named_parameters() if p.requires_grad)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def rewrite(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    path = folder / WEIGHTS
    tensors = safetensors.torch.load_file(path) | changes
    safetensors.torch.save_file({name: value for name, value in tensors.items() if value is not None}, path)


def anatomy(architecture: str = "bert", **options) -> Anatomy:
    model = tiny(architecture, **options)
    return Anatomy(model, head_of(model))


def refused(path: Path) -> str:
    with pytest.raises(ValidationError) as error:
        PeftAdapter(path=str(path))
    return error.value.errors()[0]["msg"]


def test_it_answers_as_in_peft_and_trains_nothing(folder):
    from peft import PeftModel

    method, found = PeftAdapter(path=str(folder)), anatomy()
    assert method.phases() == () and method.out_of_range(found) is None and method.unsupported(found, TASK) is None
    method.adapt(found, TASK)
    theirs = PeftModel.from_pretrained(tiny("bert"), folder).eval()
    assert torch.allclose(logits(found.model, batch()), logits(theirs, batch()), rtol=0, atol=1e-5)
    assert not any(p.requires_grad for p in found.model.parameters())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({KEY: None}, "lacks bert.encoder.layer.0.attention.self.query.lora_A.weight, for which the backbone has"),
        ({KEY: torch.zeros(4, 31)}, "was trained for another backbone or task: .*size mismatch"),
        (
            {KEY.replace("layer.0", "layer.9"): torch.zeros(4, 32)},
            "another backbone: this one has no place for bert.*9",
        ),
        ({"base_model.model.classifier.weight": None}, "holds no task head .classifier.weight.; `form: text`"),
        ({"base_model.model.classifier.weight": torch.zeros(5, 32)}, "another backbone or task: .*size mismatch"),
    ],
)
def test_what_does_not_fit_is_told(changes, reason, folder):
    rewrite(folder, changes)
    said = PeftAdapter(path=str(folder)).unsupported(anatomy(), TASK)
    assert said is not None and re.search(reason, said)


def test_another_size_or_architecture_is_refused_before_any_weights_are_loaded(folder):
    method = PeftAdapter(path=str(folder))
    with torch.device("meta"):
        wider, other = anatomy(hidden_size=64), anatomy("gpt2")
    assert "size mismatch" in (method.out_of_range(wider) or "")
    assert "Target modules" in (method.out_of_range(other) or method.unsupported(anatomy("gpt2"), TASK) or "")


def test_names_that_tell_of_another_backbone():
    assert elsewhere("tiny/bert@main", "tiny/bert") is None
    assert elsewhere("./folder", "tiny/bert") is None, "which may hold anything"
    assert "trained for the backbone tiny/gpt2" in (elsewhere("tiny/bert", "tiny/gpt2") or "")
    assert elsewhere("embedded:minilm-l6", "tiny/bert") is not None
    assert elsewhere("embedded:minilm-l6", "") is None


def test_what_it_holds_is_its_identity_and_not_where_it_lies(folder, tmp_path):
    before = PeftAdapter(path=str(folder))
    shutil.copytree(folder, tmp_path / "elsewhere")
    after = PeftAdapter.model_validate({"path": "elsewhere"}, context={"base": tmp_path})
    assert before.hyperparameters() == after.hyperparameters() != {}
    rewrite(folder, {KEY: torch.zeros(4, 32)})
    assert PeftAdapter(path=str(folder)).hyperparameters() != before.hyperparameters()
    with pytest.raises(ValidationError, match="was changed since; run the suite again"):
        PeftAdapter(path=str(folder), digest=before.digest)


def test_pickled_weights_are_not_read(folder, tmp_path):
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    said = refused(folder)
    assert "lacks adapter_model.safetensors; adapter_model.bin is pickled, which can run code" in said
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Whoever unpickles it is found out."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_links_out_of_the_folder_are_not_followed(folder, tmp_path):
    (folder / WEIGHTS).rename(tmp_path / "outside")
    (folder / WEIGHTS).symlink_to(tmp_path / "outside")
    assert "is a link, or lies behind one; links are not followed" in refused(folder)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (WEIGHTS, lambda data: data[:-100], "is no whole file of safetensors"),
        (WEIGHTS, lambda data: b"", "is no whole file of safetensors"),
        ("adapter_config.json", lambda data: data[:50], "is none of peft's"),
        ("adapter_config.json", lambda data: b"[1]", "is none of peft's"),
        ("adapter_config.json", lambda data: b'{"peft_type": "TELEPATHY"}', "is none of peft's"),
        ("adapter_config.json", lambda data: b"[" * 100_000, "is none of peft's"),
        (
            "adapter_config.json",
            lambda data: data.replace(b'"lora_alpha": 8', b'"lora_alpha": NaN'),
            "which is no number",
        ),
        (WEIGHTS, lambda data: pickle.dumps({"a": 1}), "is no whole file of safetensors"),
        ("adapter_config.json", None, "lacks adapter_config.json"),
    ],
)
def test_broken_files(name, content, reason, folder):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content((folder / name).read_bytes()))
    assert reason in refused(folder)


def test_entries_that_are_no_numbers_and_folders_that_are_none(folder, tmp_path):
    rewrite(folder, {KEY: torch.full((4, 32), float("nan"))})
    assert f"has entries that are no numbers, in {KEY}" in refused(folder)
    assert "is no folder, and no organisation/name of the hub" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("r", "four", "peft cannot put it on: TypeError"),
        ("r", -1, "positive integer"),
        ("init_lora_weights", "/etc/passwd", "Unknown initialization"),
    ],
)
def test_a_configuration_that_is_none_is_a_reason_and_no_traceback(option, value, reason, folder):
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {option: value}))
    said = PeftAdapter(path=str(folder)).unsupported(anatomy(), TASK)
    assert said is not None and reason in said and "\n" not in said and len(said) < 400


def test_whole_numbers_in_place_of_weights_are_refused(folder):
    rewrite(folder, {KEY: torch.ones((4, 32), dtype=torch.int8)})
    assert "has whole numbers in bert.encoder" in (PeftAdapter(path=str(folder)).unsupported(anatomy(), TASK) or "")


def test_an_adapter_of_a_later_peft_is_read_without_what_is_new(folder):
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"lora_of_tomorrow": None}))
    assert PeftAdapter(path=str(folder)).unsupported(anatomy(), TASK) is None

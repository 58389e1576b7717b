"""What methods have learnt, in the formats of peft and of transformers, and back: each library loads it by itself, and
gives the same logits."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

pytest.importorskip("peft")
from peft import PeftModel

from bench.export import merged
from bench.export import peft as out
from bench.export.base import ExportError, Learnt, difference, logits, probe
from bench.forms.base import Head
from bench.registry import Registry
from methods.anatomy import Anatomy
from methods.base import Method, NotInPeft
from methods.library.peft_adapter import PeftAdapter
from tests.bench.test_forms import language_model
from tests.methods.test_bridge import NAMES, OPTIONS, REFUSED
from tests.methods.tiny import INAPPLICABLE, MERGING, METHODS, TASK, adapt, batch, head_of, step, tiny

SHARED = ("lora", "lora@plus", "dora", "adalora", "vera", "pissa", "ia3", "layernorm", "prompt_tuning", "p_tuning",
          "prefix_tuning", "prefix_tuning@reparametrised", "p_tuning_v2", "spot")  # fmt: skip
PROMPTS = ("prompt_tuning", "p_tuning", "spot")
PREFIXES = ("prefix_tuning", "prefix_tuning@reparametrised", "p_tuning_v2")
ARCHITECTURES = ("bert", "llama", "gpt2")
# What peft has no place for: before [CLS] stands nothing, an encoder has no cache, and learned positions are counted
# on from what is in it.
ELSEWHERE = {
    **{(name, "bert"): "before the first token" for name in PROMPTS},
    **{(name, "bert"): "decoders alone" for name in PREFIXES},
    **{(name, "gpt2"): "learned" for name in PREFIXES},
    **{(name, "bert"): "peft has no type" for name in ("full", "bitfit", "fish_mask", "houlsby", "hyperlora")},
    ("mam", "llama"): "no parallel adapters",
}


def learnt(method: Method, architecture: str) -> Learnt:
    """After a step of training."""
    torch.manual_seed(1)
    anatomy = adapt(method, tiny(architecture), train=True)
    return Learnt(method, anatomy, Head("sequence", 3), lambda: tiny(architecture), f"tiny/{architecture}")


def loaded_by_peft(folder, architecture: str) -> PeftModel:
    return PeftModel.from_pretrained(tiny(architecture), folder).eval()


@pytest.mark.parametrize(
    ("name", "architecture"), [(n, a) for n in SHARED for a in ARCHITECTURES if (n, a) not in ELSEWHERE]
)
def test_peft_loads_it_and_gives_the_same_logits_and_so_does_the_way_back(name, architecture, tmp_path):
    found = learnt(METHODS[name], architecture)
    out.write(tmp_path, found, out.form_of(found))
    inputs = batch(architecture, size=3)  # of one length, as the card asks for of prompts
    expected = logits(found.anatomy.model, inputs)
    assert not torch.allclose(logits(tiny(architecture), inputs), expected, atol=1e-2), "it has learnt something"
    assert torch.allclose(logits(loaded_by_peft(tmp_path, architecture), inputs), expected, rtol=0, atol=1e-4)
    back, model = PeftAdapter(path=str(tmp_path)), tiny(architecture)
    anatomy = Anatomy(model, head_of(model))
    assert back.unsupported(anatomy, TASK) is None
    back.adapt(anatomy, TASK)
    assert torch.allclose(logits(model, inputs), expected, rtol=0, atol=1e-4)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("name", "architecture"), ELSEWHERE)
def test_what_peft_has_no_place_for_is_refused_with_the_reason_and_another_way(name, architecture):
    with pytest.raises(ExportError, match=ELSEWHERE[name, architecture]) as refused:
        out.form_of(learnt(METHODS[name], architecture))
    assert "--to native" in str(refused.value)
    assert ("--to merged" in str(refused.value)) == (name in MERGING)


def test_every_method_either_has_a_place_in_peft_or_says_why_not():
    for name, method in METHODS.items():
        if name not in (*SHARED, "qlora"):
            with pytest.raises(NotInPeft):
                method.as_peft(adapt(method, tiny("bert")))


def test_qlora_is_a_lora_on_the_plain_backbone_and_says_so():
    """Its update is exact; what differs is the backbone, which is no longer in four bits."""
    pytest.importorskip("bitsandbytes")
    found = learnt(METHODS["qlora"], "llama")
    form = out.form_of(found)
    assert not form.exact and "four bits" in form.note
    update = found.anatomy.model.model.layers[0].mlp.down_proj.updates["0"]
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_{}.default.weight"
    scale = form.options["lora_alpha"] / form.options["r"]
    delta = scale * form.tensors[name.format("B")] @ form.tensors[name.format("A")]
    assert torch.allclose(delta, update.matrix(), atol=1e-6)


def test_a_plain_lora_is_written_as_peft_users_write_it(tmp_path):
    """Short names of modules where they say just that, r and alpha as they are; full names where they would not."""
    method = Registry().get("methods", "lora").cls(rank=4, alpha=8.0)
    out.write(tmp_path, found := learnt(method, "bert"), out.form_of(found))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (4, 8, ["query", "value"])
    assert (config["task_type"], config["base_model_name_or_path"]) == ("SEQ_CLS", "tiny/bert")
    assert config["modules_to_save"] == ["classifier"] and not config["rank_pattern"]
    fused = out.form_of(learnt(method, "gpt2"))  # query and value are parts of one module
    assert fused.options["r"] == 8 and fused.options["lora_alpha"] / fused.options["r"] == 2
    assert fused.options["fan_in_fan_out"]
    full = out.form_of(learnt(Registry().get("methods", "lora").cls(targets=["ffn_out"]), "bert"))
    assert full.options["target_modules"][0] == "bert.encoder.layer.0.output.dense"


def test_adalora_keeps_the_rank_that_was_left_to_each_projection(tmp_path):
    found = learnt(METHODS["adalora"], "bert")
    layers = found.anatomy.model.bert.encoder.layer
    with torch.no_grad():
        layers[0].attention.self.query.updates["0"].values[2:] = 0
        layers[1].attention.self.value.updates["0"].values[:] = 0
    form = out.form_of(found)
    assert form.options["r"] == 6
    assert form.options["rank_pattern"] == {"bert.encoder.layer.0.attention.self.query": 2}
    assert "bert.encoder.layer.1.attention.self.value" not in form.options["target_modules"]
    out.write(tmp_path, found, form)
    inputs = batch("bert")
    assert torch.allclose(
        logits(loaded_by_peft(tmp_path, "bert"), inputs), logits(found.anatomy.model, inputs), atol=1e-4
    )


FEW = ("peft:lora", "peft:p_tuning", "peft:vera", "peft:poly", "peft:ln_tuning")


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        pytest.param(n, a, marks=[] if n in FEW and a == "bert" else [pytest.mark.exhaustive])
        for n in NAMES
        for a in ("bert", "llama")
        if (n, a) not in REFUSED
    ],
)
def test_types_of_peft_are_peft_again(name, architecture, tmp_path):
    method = Registry().get("methods", name).cls(**OPTIONS.get(name, {}))
    torch.manual_seed(1)
    model = tiny(architecture)
    anatomy = Anatomy(model, head_of(model))
    method.adapt(anatomy, TASK)
    for phase in method.phases():
        method.on_phase(anatomy, phase, 2000)
    step(model, architecture)
    found = Learnt(method, anatomy, Head("sequence", 3), lambda: tiny(architecture), "tiny")
    form = out.form_of(found)
    if name in ("peft:adaption_prompt", "peft:trainable_tokens"):
        with pytest.raises(ExportError, match="keeps no task head"):
            out.write(tmp_path, found, form)
        return
    out.write(tmp_path, found, form)
    inputs = batch(architecture)
    inputs.pop("token_type_ids", None)
    there = logits(out.load(tmp_path, found), out.with_tasks(inputs, form))
    assert torch.allclose(there, logits(model, inputs), rtol=0, atol=1e-4)
    back, fresh = PeftAdapter(path=str(tmp_path)), tiny(architecture)
    back.adapt(Anatomy(fresh, head_of(fresh)), TASK)
    assert torch.allclose(logits(fresh, inputs), logits(model, inputs), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        pytest.param(n, a, marks=[] if n in ("lora", "vera", "spiel", "qlora") else [pytest.mark.exhaustive])
        for n in MERGING
        for a in ARCHITECTURES
        if (n, a) not in INAPPLICABLE
    ],
)
def test_merged_it_is_a_plain_model_of_transformers(name, architecture, tmp_path):
    found = learnt(METHODS[name], architecture)
    inputs = batch(architecture)
    expected = logits(found.anatomy.model, inputs)
    plain = merged.merge(found)
    merged.write(tmp_path / "full", plain, ("no", "yes", "maybe"), torch.float32)
    read = AutoModelForSequenceClassification.from_pretrained(tmp_path / "full")
    assert torch.allclose(logits(read, inputs), expected, rtol=0, atol=1e-4)
    assert read.config.id2label == {0: "no", 1: "yes", 2: "maybe"}
    merged.write(tmp_path / "half", plain, (), torch.bfloat16)
    half = AutoModelForSequenceClassification.from_pretrained(tmp_path / "half")
    assert half.dtype == torch.bfloat16
    assert 1e-4 < difference(expected, logits(half, inputs)) < 0.2, "eight bits are left of each number"


def test_what_does_not_merge_is_refused():
    with pytest.raises(ExportError, match="houlsby cannot be folded into the backbone's weights; use --to native"):
        merged.merge(learnt(METHODS["houlsby"], "bert"))


def of_language(name: str) -> Learnt:
    model = language_model("llama")
    torch.manual_seed(1)
    anatomy = Anatomy(model, ())
    METHODS[name].adapt(anatomy, TASK)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    return Learnt(METHODS[name], anatomy, Head("language"), lambda: language_model("llama"), "tiny/llama")


@pytest.mark.parametrize("name", ["lora", "prompt_tuning", "prefix_tuning"])
def test_a_language_model_is_one_again(name, tmp_path):
    found = of_language(name)
    out.write(tmp_path / "adapter", found, out.form_of(found))
    inputs = probe(found.anatomy.model)
    expected = logits(found.anatomy.model, inputs)
    read = PeftModel.from_pretrained(language_model("llama"), tmp_path / "adapter").eval()
    length = inputs["input_ids"].shape[1]
    assert difference(expected, logits(read, inputs, length)) < 1e-4
    if name == "lora":
        merged.write(tmp_path / "merged", merged.merge(found), (), torch.float32)
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        assert difference(expected, logits(plain, inputs)) < 1e-4

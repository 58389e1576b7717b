"""Our adapters against AdapterHub's, in an environment of its own; `make test-adapterhub` builds it and runs this.

Both build the same tiny BERT, dropout off. AdapterHub draws and perturbs the parameters of its adapters, ours get them
as a copy; asserted are the same logits (absolute tolerance 1e-5), the same gradients (1e-5), and the same parameters
after 20 identical steps of AdamW (1e-4).

Definitions that differ, and what is compared all the same:

- *Houlsby* (DoubleSeqBn): AdapterHub leaves layer normalisation frozen, ours trains it by default, as the paper does.
  Compared with it frozen; the default nonlinearities differ too (theirs swish, ours GELU).
- *Pfeiffer* (SeqBn): AdapterHub's default sends what follows the feed-forward block, with the residual added, through
  the layer's normalisation before the adapter, and again after it (original_ln_before=True). Ours stands between the
  output projection and the residual, which is original_ln_before=False there. A test shows that the default differs.
- *Compacter*: AdapterHub leaves layer normalisation frozen, as above. Its weights map x to x H, ours to x Wᵀ: the
  shared factors are each other's transposes.
- *MAM*: AdapterHub produces prefixes by a network of width 800 by default; compared with free ones, as ours by default.
- *Prefix tuning* with a network: one linear map to all layers in AdapterHub, one for each layer here, which together
  are the same.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

from bench.registry import Registry
from methods.anatomy import Anatomy
from tests.conftest import ROOT
from tests.methods.tiny import TASK, batch, head_of, perturb

PYTHON = ROOT / ".venv-adapterhub" / "bin" / "python"
pytestmark = [
    pytest.mark.adapterhub,
    pytest.mark.skipif(not PYTHON.is_file(), reason="make test-adapterhub builds the environment"),
]
SHAPE = {
    "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 64, "pad_token_id": 1, "num_labels": 3, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
STEPS = 20
OPTIONS = {
    "houlsby": {"bottleneck": 8, "nonlinearity": "gelu", "train_norms": False},
    "pfeiffer": {"bottleneck": 8, "nonlinearity": "relu"},
    "parallel_adapter": {"bottleneck": 8, "nonlinearity": "relu", "scale": 4.0},
    "compacter": {"bottleneck": 8, "nonlinearity": "gelu", "divisions": 4, "train_norms": False},
    "prefix_tuning": {"length": 5},
    "prefix_tuning_reparametrised": {"length": 5, "reparametrise": True, "width": 8},
    "mam": {"bottleneck": 8, "nonlinearity": "relu", "scale": 4.0, "length": 5},
}


def plain() -> BertForSequenceClassification:
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**SHAPE)).eval()
    perturb(model.named_parameters(), 0.1)
    return model


def batches() -> list[dict[str, Tensor]]:
    return [batch("bert", seed=step) | {"labels": torch.tensor([0, 1, 2])} for step in range(STEPS)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapterhub")
    (folder / "shape.json").write_text(json.dumps(SHAPE))
    save_file(plain().state_dict(), folder / "model.safetensors")
    every = batches()
    save_file({key: torch.stack([one[key] for one in every]) for key in every[0]}, folder / "batches.safetensors")
    script = Path(__file__).with_name("adapterhub_export.py")
    done = subprocess.run([PYTHON, script, folder], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


class Theirs:
    """What AdapterHub has left, and which of our parameters each of its parameters is, in the layout of ours. Several
    of ours may be parts of one of its own."""

    def __init__(self, path: Path, ours: Anatomy) -> None:
        self.found = load_file(path)
        self.ours = ours
        self.parts: list[tuple[str, nn.Parameter, Callable[[Tensor], Tensor]]] = []
        for name in ours.head:
            self.match(name, ours.model.get_parameter(name))

    def match(self, name: str, ours: nn.Parameter, layout: Callable[[Tensor], Tensor] = lambda value: value) -> None:
        assert layout(self.found[f"start.{name}"]).shape == ours.shape, name
        self.parts.append((name, ours, layout))

    def bottlenecks(self, case: str) -> None:
        """`where` AdapterHub keeps an adapter, and the module in which ours is."""
        for index, layer in enumerate(self.ours.layers):
            sites = {"output": layer.ffn_out.module.adapter}
            if case == "houlsby":
                sites["attention.output"] = layer.attention_output.module.adapter
            for where, adapter in sites.items():
                own, there = adapter.change, f"bert.encoder.layer.{index}.{where}.adapters.it"
                self.match(f"{there}.adapter_down.0.weight", own.down)
                self.match(f"{there}.adapter_down.0.bias", own.down_bias)
                self.match(f"{there}.adapter_up.weight", own.up)
                self.match(f"{there}.adapter_up.bias", own.up_bias)

    def kronecker(self) -> None:
        rule = self.ours.layers[0].ffn_out.module.adapter.change.down.rule
        (shared,) = {name.removeprefix("start.") for name in self.found if "phm_rule" in name and "start" in name}
        self.match(shared, rule, lambda value: value.mT)
        for index, layer in enumerate(self.ours.layers):
            for where, site in (("output", layer.ffn_out), ("attention.output", layer.attention_output)):
                own, there = site.module.adapter.change, f"bert.encoder.layer.{index}.{where}.adapters.it"
                for at, part in (("adapter_down.0", own.down), ("adapter_up", own.up)):
                    assert part.rule is rule
                    self.match(f"{there}.{at}.W_left", part.right)
                    self.match(f"{there}.{at}.W_right", part.left, lambda value: value.mT)
                    self.match(f"{there}.{at}.b", part.bias)

    def prefixes(self) -> None:
        (stem,) = {
            name.removeprefix("start.").partition(".control_trans")[0]
            for name in self.found
            if name.startswith("start.") and "control_trans" in name
        }
        layers, heads, size = len(self.ours.layers), self.ours.num_heads, self.ours.head_dim

        def part(layer: int, which: int) -> Callable[[Tensor], Tensor]:
            return lambda value: value.view(-1, layers * 2, heads, size)[:, 2 * layer + which].transpose(0, 1)

        def rows(layer: int) -> Callable[[Tensor], Tensor]:
            return lambda value: value.chunk(layers)[layer]

        for index, layer in enumerate(self.ours.layers):
            prefix = layer.attention.prefix
            if f"start.{stem}.control_trans" in self.found:
                self.match(f"{stem}.control_trans", prefix.key, part(index, 0))
                self.match(f"{stem}.control_trans", prefix.value, part(index, 1))
                continue
            if index == 0:
                self.match(f"{stem}.wte.weight", prefix.shared.embedding)
                self.match(f"{stem}.control_trans.0.weight", prefix.shared.project.weight)
                self.match(f"{stem}.control_trans.0.bias", prefix.shared.project.bias)
            self.match(f"{stem}.control_trans.2.weight", prefix.own.weight, rows(index))
            self.match(f"{stem}.control_trans.2.bias", prefix.own.bias, rows(index))

    def check(self) -> None:
        model = self.ours.model
        known = {name.partition(".")[2] for name in self.found if name.startswith("start.")}
        assert known == {name for name, _, _ in self.parts}, "AdapterHub trains something else as well"
        named = {id(p) for p in model.parameters() if p.requires_grad}
        assert named == {id(ours) for _, ours, _ in self.parts}, "ours trains something else as well"
        with torch.no_grad():
            for name, ours, layout in self.parts:
                ours.copy_(layout(self.found[f"start.{name}"]))
        model.eval()
        optimizer = torch.optim.AdamW([ours for _, ours, _ in self.parts], lr=1e-2)
        for step, inputs in enumerate(batches()):
            optimizer.zero_grad()
            labels = inputs.pop("labels")
            logits = model(**inputs).logits
            F.cross_entropy(logits, labels).backward()
            if step == 0:
                torch.testing.assert_close(logits, self.found["logits"], rtol=0, atol=1e-5)
                self.compare("gradient", 1e-5)
            optimizer.step()
        self.compare("end", 1e-4)

    def compare(self, what: str, tolerance: float) -> None:
        for name, ours, layout in self.parts:
            expected = layout(self.found[f"{what}.{name}"])
            value = ours.grad if what == "gradient" else ours
            torch.testing.assert_close(
                value, expected, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{what} of {n}: {m}"
            )


def native(case: str) -> Anatomy:
    anatomy = Anatomy(model := plain(), head_of(model))
    Registry().get("methods", case.removesuffix("_reparametrised")).cls(**OPTIONS[case]).adapt(anatomy, TASK)
    return anatomy


def matched(exported: Path, case: str, configuration: str | None = None) -> Theirs:
    theirs = Theirs(exported / f"{configuration or case}.safetensors", native(case))
    if case == "compacter":
        theirs.kronecker()
    elif case in ("mam", "prefix_tuning", "prefix_tuning_reparametrised"):
        theirs.prefixes()
    if case in ("houlsby", "pfeiffer", "parallel_adapter", "mam"):
        theirs.bottlenecks(case)
    return theirs


@pytest.mark.parametrize("case", OPTIONS)
def test_same_logits_gradients_and_training(exported, case):
    matched(exported, case).check()


def test_pfeiffers_default_there_is_another_definition(exported):
    with pytest.raises(AssertionError, match="not close"):
        matched(exported, "pfeiffer", "pfeiffer_default").check()

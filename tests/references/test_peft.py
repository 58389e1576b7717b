"""Our methods against huggingface/peft's of the same name, on the same tiny models with the same parameters.

Each comparison copies the parameters of peft's method, drawn and then perturbed, into ours, and asserts the same logits
(absolute tolerance 1e-5), the same gradients (1e-5), and the same parameters after 20 identical steps of AdamW (1e-4),
dropout off. Where peft applies a method through get_peft_model or injects it, it is the library itself that is called
here, not our bridge to it.

Definitions that differ, and what is compared all the same:

- *LoRA on fused projections* (GPT-2): peft updates query, key and value together, by one product for all three; ours
  updates each alone. Compared on the projections that are not fused.
- *PiSSA*: peft stores weights of its own making in the same way, but its update is scaled by α / r; with α = r, which
  its documentation leaves to the user, both are the same. Singular vectors are determined up to their sign: products
  are compared at the start.
- *VeRA*: peft draws one A and one B for all layers from a seed of its own and slices them to each projection's shape;
  ours draws a pair for every shape. Copied over; compared where all projections have one shape.
- *AdaLoRA*: peft divides α by the initial rank + 1e-5, ours by the initial rank. The number of triplets falls by
  schedules that differ: peft's from step tinit to tfinal steps before the end, ours by shares of the budget; and where
  ours has settled, peft masks the triplets again in every step. Compared are the update with its gradients and its
  training without penalty or allocation, the gradient of the penalty, and the importance of every triplet.
- *(IA)³*: peft's default for BERT also rescales the input of the attention's output projection, since that module's
  name ends in output.dense like the feed-forward block's. Compared on ours: keys, values, feed-forward block.
- *LayerNorm tuning*: the same parameters; peft trains a copy of each normalisation layer. Its default for Llama leaves
  out the norm after the last layer; ours includes it, and so it is named here.
- *Prompt tuning, P-tuning*: peft puts vectors before the first token, in encoders too, whose head then reads a vector
  of the prompt rather than [CLS]; ours come after the first token. Compared on decoders. peft's P-tuning by an MLP has
  the layers of ours; its LSTM has dropout between layers, off here.
- *Prefix tuning*: peft passes prefixes as a cache, which moves the positions of the input up by their number; ours
  counts the input from zero, prefixes or not. With learned positions that is another row of their table, with rotary
  ones another angle to the prefix keys, which neither rotates. Compared with positions given to both.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

peft = pytest.importorskip("peft")

from bench.registry import Registry
from methods.anatomy import Anatomy
from tests.methods.tiny import DECODERS, TASK, batch, head_of, tiny

LABELS = torch.tensor([0, 1, 2])
STEPS = 20


def native(name: str, architecture: str, **options) -> Anatomy:
    model = tiny(architecture)
    anatomy = Anatomy(model, head_of(model))
    method = Registry().get("methods", name).cls(**options)
    assert method.unsupported(anatomy, TASK) is None
    method.adapt(anatomy, TASK)
    return anatomy


def injected(config, architecture: str) -> PreTrainedModel:
    """peft's method in a model whose head is trained in place."""
    torch.manual_seed(5)
    model = tiny(architecture)
    torch.manual_seed(5)
    tuner = peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](model, {"default": config}, "default")
    for name in head_of(tiny(architecture)):
        model.get_parameter(name).requires_grad_(True)
    model.peft_tuner = (tuner,)
    return model.eval()


class Pair:
    """Both models, and their trained parameters matched one to one, with how theirs is laid out in ours."""

    def __init__(self, architecture: str, theirs: nn.Module, ours: Anatomy) -> None:
        self.architecture = architecture
        self.theirs, self.ours = theirs, ours
        self.matched: list[tuple[str, nn.Parameter, nn.Parameter, Callable[[Tensor], Tensor]]] = []
        for name in sorted(ours.head):
            self.match(name, _ending(theirs, name), ours.model.get_parameter(name))

    def match(self, name: str, theirs: nn.Parameter, ours: nn.Parameter, layout=lambda value: value) -> None:
        assert layout(theirs).shape == ours.shape, name
        self.matched.append((name, theirs, ours, layout))

    def copy(self, noise: float = 0.0) -> None:
        """Ours from theirs, which are moved away from where they start first."""
        with torch.no_grad():
            for _, theirs, ours, layout in self.matched:
                theirs += noise * torch.randn_like(theirs)
                ours.copy_(layout(theirs))

    def check(self) -> None:
        trained = {id(p) for p in self.theirs.parameters() if p.requires_grad}
        assert trained == {id(theirs) for _, theirs, _, _ in self.matched}, "peft trains something else as well"
        named = {id(p) for p in self.ours.model.parameters() if p.requires_grad}
        assert named == {id(ours) for _, _, ours, _ in self.matched}, "ours trains something else as well"
        self.copy(noise=0.05)
        models = (self.theirs, self.ours.model)
        optimizers = [torch.optim.AdamW([match[i] for match in self.matched], lr=1e-2) for i in (1, 2)]
        for step in range(STEPS):
            logits = []
            for model, optimizer in zip(models, optimizers, strict=True):
                optimizer.zero_grad()
                logits.append(model(**batch(self.architecture, seed=step)).logits)
                F.cross_entropy(logits[-1], LABELS).backward()
            if step == 0:
                torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=1e-5)
                self.check_gradients()
            for optimizer in optimizers:
                optimizer.step()
        for name, theirs, ours, layout in self.matched:
            torch.testing.assert_close(ours, layout(theirs), rtol=0, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")

    def check_gradients(self) -> None:
        for name, theirs, ours, layout in self.matched:
            assert theirs.grad is not None and ours.grad is not None and theirs.grad.any(), name
            expected = layout(theirs.grad)
            torch.testing.assert_close(ours.grad, expected, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def _ending(model: nn.Module, name: str) -> nn.Parameter:
    """The trained parameter of that name, wherever peft has put it."""
    plain = {n.replace("modules_to_save.default.", ""): p for n, p in model.named_parameters() if p.requires_grad}
    (found,) = {p for n, p in plain.items() if n.endswith(name)}
    return found


def update_of(ours: Anatomy, name: str) -> nn.Module:
    """Our update of the projection of that name in the plain model."""
    (update,) = ours.model.get_submodule(name).updates.values()
    return update


def layers_of(theirs: nn.Module, attribute: str) -> dict[str, nn.Module]:
    return {n: m for n, m in theirs.named_modules() if hasattr(m, attribute) and hasattr(m, "base_layer")}


TARGETS = {
    "bert": (["query", "value", "output.dense"], ("query", "value", "attention_output", "ffn_out")),
    "llama": (["q_proj", "v_proj", "down_proj"], ("query", "value", "ffn_out")),
    "gpt2": (["c_proj", "c_fc"], ("attention_output", "ffn_in", "ffn_out")),
}
WITH_CONV1D = pytest.mark.parametrize("architecture", TARGETS)


def lora_config(architecture: str, **options):
    theirs, _ = TARGETS[architecture]
    return peft.LoraConfig(r=4, lora_alpha=12, target_modules=theirs, fan_in_fan_out=architecture == "gpt2", **options)


def match_lora(pair: Pair) -> None:
    for name, layer in layers_of(pair.theirs, "lora_A").items():
        update = update_of(pair.ours, name)
        pair.match(f"{name} A", layer.lora_A["default"].weight, update.down)
        pair.match(f"{name} B", layer.lora_B["default"].weight, update.up)


@WITH_CONV1D
@pytest.mark.parametrize("stabilised", [False, True], ids=["lora", "rslora"])
def test_lora(architecture, stabilised):
    theirs = injected(lora_config(architecture, use_rslora=stabilised), architecture)
    ours = native("lora", architecture, rank=4, alpha=12, targets=TARGETS[architecture][1], rank_stabilised=stabilised)
    pair = Pair(architecture, theirs, ours)
    match_lora(pair)
    pair.check()


@WITH_CONV1D
def test_dora(architecture):
    """peft's norm is a constant in the backward pass as well, which its documentation takes from the paper."""
    theirs = injected(lora_config(architecture, use_dora=True), architecture)
    pair = Pair(architecture, theirs, native("dora", architecture, rank=4, alpha=12, targets=TARGETS[architecture][1]))
    match_lora(pair)
    for name, layer in layers_of(theirs, "lora_magnitude_vector").items():
        magnitude = layer.lora_magnitude_vector["default"].weight
        pair.match(f"{name} m", magnitude, update_of(pair.ours, name).magnitude, lambda value: value.flatten())
    pair.check()


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_pissa(architecture):
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=TARGETS[architecture][0], init_lora_weights="pissa")
    theirs = injected(config, architecture)
    ours = native("pissa", architecture, rank=4, targets=TARGETS[architecture][1])
    pair = Pair(architecture, theirs, ours)
    match_lora(pair)
    for name, layer in layers_of(theirs, "lora_A").items():
        update = update_of(ours, name)
        product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        torch.testing.assert_close(update.up @ update.down, product, rtol=0, atol=1e-5)
        residual = ours.model.get_submodule(name).base.weight
        torch.testing.assert_close(residual, layer.base_layer.weight, rtol=0, atol=1e-5)
    pair.check()


def test_vera():
    config = peft.VeraConfig(r=8, target_modules=["query", "value"], d_initial=0.1, projection_prng_key=3)
    theirs = injected(config, "bert")
    ours = native("vera", "bert", rank=8, targets=("query", "value"))
    pair = Pair("bert", theirs, ours)
    for name, layer in layers_of(theirs, "vera_lambda_d").items():
        update = update_of(ours, name)
        (shared,) = update._shared
        shared.down.copy_(layer.vera_A["default"])
        shared.up.copy_(layer.vera_B["default"])
        assert torch.equal(update.d, layer.vera_lambda_d["default"])
        assert torch.equal(update.b, layer.vera_lambda_b["default"])
        pair.match(f"{name} d", layer.vera_lambda_d["default"], update.d)
        pair.match(f"{name} b", layer.vera_lambda_b["default"], update.b)
    pair.check()


def adalora_pair(architecture: str, **options) -> Pair:
    theirs, targets = TARGETS[architecture]
    config = peft.AdaLoraConfig(init_r=6, target_r=2, lora_alpha=12, target_modules=theirs, total_step=STEPS, **options)
    ours = native("adalora", architecture, rank=4, excess=1.5, alpha=12, targets=targets)
    pair = Pair(architecture, injected(config, architecture), ours)
    for name, layer in layers_of(pair.theirs, "lora_E").items():
        update = update_of(ours, name)
        assert update.right.shape == layer.lora_A["default"].shape
        pair.match(f"{name} Q", layer.lora_A["default"], update.right)
        pair.match(f"{name} λ", layer.lora_E["default"], update.values, lambda value: value.flatten())
        pair.match(f"{name} P", layer.lora_B["default"], update.left)
    return pair


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_adalora_without_allocation(architecture):
    """peft divides by the rank + 1e-5, which is far below the tolerance."""
    adalora_pair(architecture).check()


def test_adaloras_penalty():
    """peft's penalty is a part of its loss, ours is added to the gradient."""
    pair = adalora_pair("bert", orth_reg_weight=0.3)
    method = Registry().get("methods", "adalora").cls(rank=4, penalty=0.3)
    (tuner,) = pair.theirs.peft_tuner
    pair.copy(noise=0.05)
    tuner(**batch(), labels=LABELS).loss.backward()
    pair.ours.model(**batch(), labels=LABELS).loss.backward()
    without = [ours.grad.clone() for _, _, ours, _ in pair.matched]
    method.after_backward(pair.ours, 1)
    assert any((ours.grad - g).abs().max() > 1e-3 for (_, _, ours, _), g in zip(pair.matched, without, strict=True))
    pair.check_gradients()


def test_adaloras_importance():
    """After three steps of the same gradients both give the same importance to every triplet. peft smooths the
    variation of a sensitivity that has seen the step already, as ours."""
    pair = adalora_pair("bert", beta1=0.85, beta2=0.85)
    (tuner,) = pair.theirs.peft_tuner
    allocator = tuner.rankallocator
    updates = {name: update_of(pair.ours, name) for name in layers_of(pair.theirs, "lora_E")}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, theirs, ours, layout in pair.matched:
            theirs.copy_(torch.randn(theirs.shape, generator=generator))
            ours.copy_(layout(theirs))
    for _ in range(3):
        for _, theirs, ours, layout in pair.matched:
            theirs.grad = torch.randn(theirs.shape, generator=generator)
            ours.grad = layout(theirs.grad).clone()
        allocator.update_ipt(pair.theirs)
        for update in updates.values():
            update.update_importance(0.85, 0.85)
    for name, update in updates.items():
        expected = _importance(allocator, name)
        torch.testing.assert_close(update.importance(), expected, rtol=1e-4, atol=1e-7, msg=name)


def _importance(allocator, name: str) -> Tensor:
    """As peft puts it together when it masks."""
    part = {p: allocator._element_score(f"{name}.lora_{p}.default") for p in "AEB"}
    a, b = part["A"].mean(dim=1, keepdim=True), part["B"].mean(dim=0, keepdim=False).view(-1, 1)
    return allocator._combine_ipt(part["E"], torch.cat([a, b], 1)).flatten()


IA3_TARGETS = {
    "bert": (["key", "value"], ["0.output.dense", "1.output.dense"]),
    "llama": (["k_proj", "v_proj"], ["down_proj"]),
}


@pytest.mark.parametrize("architecture", IA3_TARGETS)
def test_ia3(architecture):
    outer, inner = IA3_TARGETS[architecture]
    config = peft.IA3Config(target_modules=outer + inner, feedforward_modules=inner)
    theirs = injected(config, architecture)
    pair = Pair(architecture, theirs, native("ia3", architecture))
    for name, layer in layers_of(theirs, "ia3_l").items():
        pair.match(name, layer.ia3_l["default"], update_of(pair.ours, name).scale, lambda value: value.flatten())
    pair.check()


@pytest.mark.parametrize(
    ("architecture", "norms"),
    [("bert", ["LayerNorm"]), ("llama", ["input_layernorm", "post_attention_layernorm", "model.norm"]),
     ("gpt2", ["ln_1", "ln_2", "ln_f"])],
)  # fmt: skip
def test_layernorm(architecture, norms):
    theirs = injected(peft.LNTuningConfig(target_modules=norms), architecture)
    pair = Pair(architecture, theirs, native("layernorm", architecture))
    for name, layer in layers_of(theirs, "ln_tuning_layers").items():
        for attribute, parameter in layer.ln_tuning_layers["default"].named_parameters():
            pair.match(f"{name}.{attribute}", parameter, pair.ours.model.get_parameter(f"{name}.{attribute}"))
    pair.check()


def prompted(config, architecture: str) -> nn.Module:
    torch.manual_seed(5)
    model = peft.get_peft_model(tiny(architecture), config)
    return model.eval()


@pytest.mark.parametrize("architecture", [name for name in DECODERS if name != "opt"])
def test_prompt_tuning(architecture):
    """OPT counts positions by the mask, and its word embeddings are smaller than its hidden states, for which peft
    has no place."""
    config = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=5)
    pair = Pair(architecture, prompted(config, architecture), native("prompt_tuning", architecture, length=5))
    prompt = pair.theirs.prompt_encoder["default"].embedding.weight
    pair.match("prompt", prompt, pair.ours.backbone.prompt.vectors)
    pair.check()


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_p_tuning(architecture, kind):
    config = peft.PromptEncoderConfig(
        task_type="SEQ_CLS", num_virtual_tokens=5, encoder_hidden_size=8,
        encoder_reparameterization_type=kind.upper(), encoder_num_layers=2, encoder_dropout=0.0,
    )  # fmt: skip
    theirs = prompted(config, architecture)
    pair = Pair(architecture, theirs, native("p_tuning", architecture, length=5, width=8, encoder=kind))
    encoder, ours = theirs.prompt_encoder["default"], pair.ours.backbone.prompt.encoder
    pair.match("embedding", encoder.embedding.weight, ours.embedding)
    parts = {"mlp": (encoder.mlp_head, ours.mlp)} | ({"lstm": (encoder.lstm_head, ours.lstm)} if kind == "lstm" else {})
    for part, (their_part, our_part) in parts.items():
        for name, parameter in their_part.named_parameters():
            pair.match(f"{part}.{name}", parameter, our_part.get_parameter(name))
    pair.check()


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_prefix_tuning(architecture):
    """With positions given to both, so that they count alike: peft adds the number of prefixes to them, which is taken
    off before. On BERT peft's wrapper reads the head's input by itself."""
    length = 5
    config = peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=length)
    theirs = prompted(config, architecture)
    pair = Pair(architecture, theirs, native("prefix_tuning", architecture, length=length))
    flat = theirs.prompt_encoder["default"].embedding.weight  # (length, layers · 2 · heads · size)
    layers, heads, size = len(pair.ours.layers), pair.ours.num_kv_heads, pair.ours.head_dim

    def part(layer: int, which: int) -> Callable[[Tensor], Tensor]:
        return lambda value: value.view(length, layers * 2, heads, size)[:, 2 * layer + which].transpose(0, 1)

    prefixes = [layer.attention.prefix for layer in pair.ours.layers]
    with torch.no_grad():
        flat += 0.05 * torch.randn_like(flat)
        for index, prefix in enumerate(prefixes):
            prefix.key.copy_(part(index, 0)(flat))
            prefix.value.copy_(part(index, 1)(flat))
    inputs = batch(architecture)
    positions = torch.arange(inputs["input_ids"].shape[1]).expand_as(inputs["input_ids"])
    optimizers = [
        torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        for model in (theirs, pair.ours.model)
    ]
    for step in range(STEPS):
        inputs = batch(architecture, seed=step)
        found = []
        for model, shift, optimizer in zip((theirs, pair.ours.model), (length, 0), optimizers, strict=True):
            optimizer.zero_grad()
            found.append(model(**inputs, position_ids=positions - shift).logits)
            F.cross_entropy(found[-1], LABELS).backward()
        if step == 0:
            torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5)
            for index, prefix in enumerate(prefixes):
                torch.testing.assert_close(prefix.key.grad, part(index, 0)(flat.grad), rtol=0, atol=1e-5)
                torch.testing.assert_close(prefix.value.grad, part(index, 1)(flat.grad), rtol=0, atol=1e-5)
        for optimizer in optimizers:
            optimizer.step()
    for index, prefix in enumerate(prefixes):
        torch.testing.assert_close(prefix.key, part(index, 0)(flat), rtol=0, atol=1e-4)
        torch.testing.assert_close(prefix.value, part(index, 1)(flat), rtol=0, atol=1e-4)


def test_our_check_can_fail():
    """LoRA scaled otherwise is not taken for the same."""
    theirs = injected(lora_config("bert"), "bert")
    pair = Pair("bert", theirs, native("lora", "bert", rank=4, alpha=13, targets=TARGETS["bert"][1]))
    match_lora(pair)
    with pytest.raises(AssertionError):
        pair.check()

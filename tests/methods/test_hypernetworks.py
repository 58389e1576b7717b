"""Generated weights against the networks that make them written out, and mixtures of tasks against single tasks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.anatomy import Anatomy
from methods.base import Method
from methods.hypernetworks.hyperdecoder import Hyperdecoder
from methods.hypernetworks.hyperformer import HyperFormer
from methods.hypernetworks.hyperformer_pp import HyperFormerPP
from methods.hypernetworks.hyperlora import HyperLoRA
from methods.hypernetworks.hyperprompt import HyperPrompt
from tests.methods.test_methods import BASE, real_shape
from tests.methods.tiny import (
    CONFIGS,
    TASK,
    Task,
    adapt,
    adapter_size,
    batch,
    head_of,
    logits,
    perturb,
    tiny,
    trainable,
)

MIXTURE = Task("three", "mixture", ("first", "second", "third"))
PARTS = ("down", "down_bias", "up", "up_bias", "scale", "shift")

SMALL: dict[str, Method] = {
    "hyperformer": HyperFormer(bottleneck=4, embedding=6, condition=5),
    "hyperformer_pp": HyperFormerPP(bottleneck=4, embedding=6, condition=5),
    "hyperprompt": HyperPrompt(length=3, bottleneck=4, embedding=6, condition=5),
    "hyperprompt-share": HyperPrompt(length=3, bottleneck=4, form="share"),
    "hyperlora": HyperLoRA(rank=3, embedding=6, condition=5, targets=("query", "value", "ffn_out")),
}


def mixed(method: Method, model) -> Anatomy:
    anatomy = Anatomy(model, head_of(model))
    method.adapt(anatomy, MIXTURE)
    return anatomy


def linear(module: nn.Module, x: Tensor) -> Tensor:
    return x @ module.weight.T + module.bias


def adapter_by_hand(h: Tensor, maps: nn.Module, condition: Tensor, size: int = 32, width: int = 4) -> Tensor:
    """σ is GELU; with the normalisation where there are maps for one."""
    made = {name: linear(each, condition) for name, each in maps.maps.items()}
    assert tuple(made) in (PARTS, PARTS[:4])
    inner = F.gelu(h @ made["down"].view(width, size).T + made["down_bias"])
    change = inner @ made["up"].view(size, width).T + made["up_bias"]
    return F.layer_norm(change, (size,), made["scale"], made["shift"]) if "scale" in made else change


@pytest.mark.parametrize(
    ("method", "count"),
    [
        # Per layer and position, linear maps from c + 1 numbers to an adapter's weights and its normalisation's.
        (HyperFormer(bottleneck=8, embedding=32, condition=8),
         32 + (32 * 32 + 32) + (32 * 8 + 8) + 12 * 2 * 9 * (2 * 8 * 768 + 8 + 3 * 768)),
        (HyperFormerPP(bottleneck=16, embedding=32, condition=16),
         (1 + 12 + 2) * 32 + (96 * 32 + 32) + (32 * 16 + 16) + 2 * 16 + 17 * (2 * 16 * 768 + 16 + 3 * 768)),
        (Hyperdecoder(bottleneck=8, embedding=10, condition=32),
         12 * 10 + (768 + 10) * 32 + 32 + 33 * (2 * 8 * 768 + 8 + 768)),
        (HyperPrompt(length=10, bottleneck=8, embedding=32, condition=16),
         10 * 768 + (1 + 12) * 32 + (64 * 32 + 32) + (32 * 16 + 16) + 17 * 4 * 768 * 8),
        (HyperPrompt(length=10, bottleneck=8, form="share"), 10 * 768 + 12 * 4 * 768 * 8),
        (HyperLoRA(rank=8, embedding=32, condition=16, targets=("query", "value", "ffn_in")),
         (1 + 12 + 3) * 32 + (96 * 32 + 32) + (32 * 16 + 16) + 2 * 16 + 17 * 8 * (768 + 768 + 768 + 3072)),
    ],
)  # fmt: skip
def test_parameter_counts(method, count):
    anatomy = real_shape("bert", **BASE)
    method.adapt(anatomy, TASK)
    assert adapter_size(anatomy) == count


@pytest.mark.parametrize(
    ("name", "added"),
    [("hyperformer", 6), ("hyperformer_pp", 6), ("hyperprompt", 6 + 3 * 32), ("hyperprompt-share", 3 * 32),
     ("hyperlora", 6)],
)  # fmt: skip
def test_each_further_task_adds_its_embedding_and_prompt_alone(name, added):
    one = adapt(SMALL[name], tiny("bert"))
    assert adapter_size(mixed(SMALL[name], tiny("bert"))) == adapter_size(one) + 2 * added


def test_hyperformer_generates_with_a_network_for_each_layer():
    anatomy = adapt(SMALL["hyperformer"], tiny("bert"))
    perturb(trainable(anatomy.model).items())
    own = anatomy.backbone.hypernetworks
    assert own[0].shared is own[1].shared
    for index, layer in enumerate(anatomy.layers):
        network = own[index].shared
        condition = linear(network.project[2], linear(network.project[0], network.task[0]).relu())
        for position, (site, width) in enumerate(((layer.attention_output, 32), (layer.ffn_out, 48))):
            x = torch.randn(2, 5, width)
            h = site.module.base(x)
            expected = h + adapter_by_hand(h, own[index].weights[position], condition)
            torch.testing.assert_close(site.module(x), expected, rtol=0, atol=1e-5)


def test_hyperformer_pp_generates_with_one_network_for_all_layers_and_positions():
    anatomy = adapt(SMALL["hyperformer_pp"], tiny("bert"))
    perturb(trainable(anatomy.model).items())
    source = anatomy.backbone.hypernetwork
    for layer in anatomy.layers:
        for position, (site, width) in enumerate(((layer.attention_output, 32), (layer.ffn_out, 48))):
            z = torch.cat([source.task[0], source.layer[layer.index], source.position[position]])
            hidden = linear(source.project[2], linear(source.project[0], z).relu())
            condition = F.layer_norm(hidden, (5,), source.project[3].weight, source.project[3].bias)
            x = torch.randn(2, 5, width)
            h = site.module.base(x)
            expected = h + adapter_by_hand(h, source.weights, condition)
            torch.testing.assert_close(site.module(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "electra", "gpt2", "t5"])
def test_hyperdecoder_generates_from_a_mean_of_the_input_without_padding(architecture):
    anatomy = adapt(Hyperdecoder(bottleneck=4, embedding=6, condition=5, nonlinearity="gelu"), tiny(architecture))
    model, backbone = anatomy.model, anatomy.backbone
    perturb(trainable(model).items())
    inputs = batch(architecture)
    inputs["attention_mask"][1, -4:] = 0
    inputs["input_ids"][1, -4:] = 1
    if architecture == "t5":
        inputs["input_ids"][1, -5] = 2
        with torch.no_grad():
            states = backbone.encoder(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).last_hidden_state
        adapted = [layer for layer in anatomy.layers if layer.cross]
        assert len(adapted) == 2
        assert not any("adapter" in name for name, _ in backbone.encoder.named_modules())
    else:
        states = anatomy.word_embeddings.weight[inputs["input_ids"]]
        adapted = list(anatomy.layers)

    caught = {}
    for index, layer in enumerate(adapted):
        first, last = layer.ffn_in.module, layer.ffn_out.module
        first.register_forward_hook(lambda _, args, out, index=index: caught.update({(index, "x"): args[0]}))
        last.base.register_forward_hook(lambda _, args, out, index=index: caught.update({(index, "base"): out}))
        last.register_forward_hook(lambda _, args, out, index=index: caught.update({(index, "out"): out}))
    logits(model, inputs)

    source = backbone.hypernetwork
    for index in range(2):
        for example, length in enumerate((10, 6, 10)):
            mean = states[example, :length].mean(0)
            summary = (mean - mean.mean()) / (mean.var(correction=0) + 1e-5).sqrt()
            condition = linear(source.project, torch.cat([summary, source.layer[index]])).relu()
            x, base, out = (caught[index, part][example] for part in ("x", "base", "out"))
            expected = base + adapter_by_hand(x, source.weights, condition)
            torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


def test_a_hyperdecoder_that_generates_keeps_what_it_read_of_the_prompt():
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **CONFIGS["gpt2"])).eval()
    anatomy = Anatomy(model, set())
    Hyperdecoder(bottleneck=4, embedding=6, condition=5).adapt(anatomy, TASK)
    perturb(trainable(model).items())
    ids = batch("gpt2", size=2)["input_ids"]
    with torch.no_grad():
        first = model(input_ids=ids, use_cache=True)
        read = anatomy.backbone.hypernetwork.summary.clone()
        model(input_ids=ids[:, :1], past_key_values=first.past_key_values, use_cache=True)
        assert torch.equal(anatomy.backbone.hypernetwork.summary, read)
        model(input_ids=ids[:, :1])
        assert not torch.allclose(anatomy.backbone.hypernetwork.summary, read)


@pytest.mark.parametrize(("architecture", "applies"), [("gpt2", False), ("bert", True), ("t5", True)])
def test_a_hyperdecoder_does_not_read_what_is_to_be_predicted(architecture, applies):
    model = tiny(architecture)
    anatomy = Anatomy(model, head_of(model))
    reason = Hyperdecoder().unsupported(anatomy, Task("toy", "generation"))
    assert reason is None if applies else "gpt2" in reason and "predicted" in reason
    assert Hyperdecoder().unsupported(anatomy, TASK) is None


@pytest.mark.parametrize("form", ["global", "share"])
def test_hyperprompt_generates_keys_and_values_through_a_bottleneck(form):
    sizes = {"embedding": 6, "condition": 5} if form == "global" else {}
    anatomy = adapt(HyperPrompt(length=3, bottleneck=4, form=form, **sizes), tiny("llama"))
    perturb(trainable(anatomy.model).items())
    assert (anatomy.num_kv_heads, anatomy.head_dim) == (2, 8)
    for index, layer in enumerate(anatomy.layers):
        if form == "global":
            source = anatomy.backbone.hypernetwork
            hidden = linear(source.project[0], torch.cat([source.task[0], source.layer[index]])).relu()
            condition = linear(source.project[2], hidden)
            down_k, up_k, down_v, up_v = (linear(each, condition) for each in source.maps)
        else:
            source = anatomy.backbone.hypernetworks[index]
            (down_k, down_v), (up_k, up_v) = source.down, source.up
        for found, down, up in zip(layer.attention.prefix(), (down_k, down_v), (up_k, up_v), strict=True):
            rows = (source.prompt[0] @ down.view(4, 32).T).relu() @ up.view(16, 4).T
            for head in range(2):
                expected = rows[:, 8 * head : 8 * head + 8]
                torch.testing.assert_close(found[head], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "modernbert", "t5"])
def test_hyperlora_is_the_generated_product_beside_each_target(architecture):
    method = HyperLoRA(rank=3, alpha=6, embedding=6, condition=5, targets=("query", "value"))
    anatomy = adapt(method, tiny(architecture))
    perturb(trainable(anatomy.model).items())
    source = anatomy.backbone.hypernetwork
    # Targets are counted as they are met, and a decoder comes after the encoder.
    order = ["query", "value", *(["cross query", "cross value"] if architecture == "t5" else [])]
    assert len(source.target) == len(order)
    sites = [(layer, site) for layer in anatomy.layers for name in ("query", "value") for site in layer.sites(name)]
    expected = []
    for layer, site in sites:
        z = torch.cat([source.task[0], source.layer[layer.index], source.target[order.index(site.name)]])
        hidden = linear(source.project[2], linear(source.project[0], z).relu())
        condition = F.layer_norm(hidden, (5,), source.project[3].weight, source.project[3].bias)
        shape = f"{site.in_features}x{site.out_features}"
        down = linear(source.down[shape], condition).view(3, site.in_features)
        up = linear(source.up[shape], condition).view(site.out_features, 3)
        expected.append((site.weight + 2 * up @ down).detach())
        x = torch.randn(2, 5, site.in_features)
        whole = site.module(x)
        share = whole.chunk(site.parts, dim=-1)[site.part]
        bias = 0 if site.bias is None else site.bias
        torch.testing.assert_close(share, x @ expected[-1].T + bias, rtol=0, atol=1e-4)
    assert method.merge(anatomy.model)
    for (_, site), weight in zip(sites, expected, strict=True):
        torch.testing.assert_close(site.weight, weight, rtol=0, atol=1e-5)


def test_hyperlora_of_several_tasks_is_not_merged():
    anatomy = mixed(SMALL["hyperlora"], tiny("bert"))
    before = {name: p.clone() for name, p in anatomy.model.named_parameters()}
    assert not SMALL["hyperlora"].merge(anatomy.model)
    assert all(torch.equal(p, before[name]) for name, p in anatomy.model.named_parameters())


@pytest.mark.parametrize("architecture", ["bert", "albert", "gpt2", "opt", "mistral", "modernbert", "t5", "bart"])
@pytest.mark.parametrize("name", SMALL)
def test_in_a_mixture_each_example_gets_what_its_own_task_gives(name, architecture):
    """A model of one task, with the embedding and the prompt of that task and the same hypernetwork, as reference."""
    model = tiny(architecture)
    mixed(SMALL[name], model)
    perturb(trainable(model).items())
    inputs, task_ids = batch(architecture, size=4), torch.tensor([2, 0, 2, 1])
    found = logits(model, inputs | {"task_ids": task_ids})
    together = dict(model.named_parameters())
    singles = []
    for task in range(3):
        alone = tiny(architecture)
        adapt(SMALL[name], alone)
        with torch.no_grad():
            for parameter, value in alone.named_parameters():
                whole = together[parameter]
                of_tasks = parameter.endswith((".task", ".prompt"))
                assert whole.shape[1:] == value.shape[1:] and len(whole) == (3 if of_tasks else len(value))
                value.copy_(whole[task : task + 1] if of_tasks else whole)
        singles.append(logits(alone, inputs))
    expected = torch.stack([singles[task][example] for example, task in enumerate(task_ids.tolist())])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (singles[0] - singles[1]).abs().max() > 1e-3 and (singles[1] - singles[2]).abs().max() > 1e-3


@pytest.mark.parametrize("name", SMALL)
def test_a_mixture_learns_what_its_batch_is_of(name):
    """Tasks that the batch lacks get no gradient; kept weights do not outlive the batch or the parameters."""
    model = tiny("bert")
    mixed(SMALL[name], model)
    perturb(trainable(model).items())
    inputs = batch("bert")
    first = logits(model, inputs | {"task_ids": torch.tensor([0, 0, 0])})
    second = logits(model, inputs | {"task_ids": torch.tensor([0, 1, 0])})
    torch.testing.assert_close(first[[0, 2]], second[[0, 2]], rtol=0, atol=1e-5)
    assert (first[1] - second[1]).abs().max() > 1e-3

    model(**inputs, task_ids=torch.tensor([0, 1, 0]), labels=torch.tensor([0, 1, 2])).loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if n.endswith((".task", ".prompt"))}
    assert gradients
    for gradient in gradients.values():
        assert gradient[0].any() and gradient[1].any() and not gradient[2].any()
    model.zero_grad()
    with torch.no_grad():
        for parameter in trainable(model).values():
            parameter *= 1.5
    third = logits(model, inputs | {"task_ids": torch.tensor([0, 0, 0])})
    assert (third - first).abs().max() > 1e-3


@pytest.mark.parametrize("name", [*SMALL, "hyperdecoder"])
def test_a_mixture_without_task_ids_is_refused_by_name(name):
    method = Hyperdecoder(bottleneck=4) if name == "hyperdecoder" else SMALL[name]
    model = tiny("bert")
    mixed(method, model)
    with pytest.raises(ValueError, match=r"takes task_ids \(batch,\), indices into first, second, third"):
        logits(model, batch("bert"))
    assert logits(model, batch("bert") | {"task_ids": torch.tensor([0, 1, 2])}).shape == (3, 3)


@pytest.mark.parametrize("name", ["hyperformer", "hyperformer_pp", "hyperlora"])
def test_examples_that_stand_several_times_in_a_row_share_a_task(name):
    """As beams or choices: the backbone then sees a multiple of the batch that task_ids describe."""
    model = tiny("opt")  # whose feed-forward block joins examples and positions
    mixed(SMALL[name], model)
    perturb(trainable(model).items())
    twice = {key: value.repeat_interleave(2, dim=0) for key, value in batch("opt").items()}
    expected = logits(model, batch("opt") | {"task_ids": torch.tensor([1, 0, 2])})
    found = logits(model, twice | {"task_ids": torch.tensor([1, 0, 2])})
    torch.testing.assert_close(found, expected.repeat_interleave(2, dim=0), rtol=0, atol=1e-5)


def test_generated_adapters_start_with_the_variance_of_ordinary_layers():
    torch.manual_seed(0)
    anatomy = adapt(HyperFormerPP(bottleneck=16, embedding=32, condition=16), tiny("bert", hidden_size=64))
    adapter = anatomy.layers[0].attention_output.module.adapter.change
    down, down_bias, up, up_bias, scale, shift = (part.detach() for part in adapter.source())
    assert down.std() == pytest.approx(1 / math.sqrt(64), rel=0.2)
    assert up.std() == pytest.approx(1 / math.sqrt(16), rel=0.2)
    assert not (down_bias.any() or up_bias.any() or scale.any() or shift.any())

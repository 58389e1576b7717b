"""A fresh head is fresh whatever a checkpoint brings along; what it says is pretrained is what it carries."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from bench.backbones import Backbone, BackboneError
from bench.forms.base import Head, NoSuchForm
from tests.methods.tiny import CONFIGS, perturb

ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "deberta-v2",
    "modernbert",
    "gpt2",
    "llama",
    "t5",
    "bart",
)
CLASSES = {"sequence": AutoModelForSequenceClassification, "token": AutoModelForTokenClassification}


def fine_tuned(folder: Path, architecture: str, kind: str, labels: int) -> tuple[Path, PreTrainedModel]:
    """A checkpoint with a head that has moved far from where it began."""
    torch.manual_seed(5)
    config = AutoConfig.for_model(architecture, **CONFIGS[architecture] | {"num_labels": labels})
    model = CLASSES[kind].from_config(config)
    perturb(model.named_parameters(), 1.0)
    model.save_pretrained(folder)
    return folder, model


def head_of(model: PreTrainedModel, fresh: frozenset[str]) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if name in fresh}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("trained", [2, 5])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_trained_head_is_drawn_anew_by_the_seed_alone(architecture: str, trained: int, tmp_path: Path):
    """As it would be on the backbone's weights saved by themselves."""
    folder, model = fine_tuned(tmp_path / "tuned", architecture, "sequence", trained)
    model.base_model.save_pretrained(tmp_path / "bare")
    heads = {}
    for seed in (0, 1):
        loaded, fresh = Backbone.find(str(folder)).load(Head("sequence", 2), seed)
        bare, fresh_of_bare = Backbone.find(str(tmp_path / "bare")).load(Head("sequence", 2), seed)
        heads[seed] = head_of(loaded, fresh)
        assert equal(heads[seed], head_of(bare, fresh_of_bare))
        stored = dict(model.named_parameters())
        assert all(torch.equal(p, stored[name]) for name, p in loaded.named_parameters() if name not in fresh)
    drawn = {name for name in heads[0] if heads[0][name].count_nonzero() and "norm" not in name}
    assert drawn and not any(torch.equal(heads[0][name], heads[1][name]) for name in drawn)
    # Weights are drawn within a few hundredths of nought (within 0.5 where they are drawn as torch does); the trained
    # were moved by one.
    assert all(values.abs().mean() < 0.3 for name, values in heads[0].items() if "norm" not in name)


@pytest.mark.parametrize(("trained", "asked"), [("token", "token"), ("sequence", "token"), ("token", "sequence")])
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2", "llama"])
def test_a_head_of_either_kind_leaves_nothing_in_the_other(architecture: str, trained: str, asked: str, tmp_path: Path):
    folder, model = fine_tuned(tmp_path / "tuned", architecture, trained, 4)
    model.base_model.save_pretrained(tmp_path / "bare")
    loaded, fresh = Backbone.find(str(folder)).load(Head(asked, 4), 3)  # type: ignore[arg-type]
    bare, also_fresh = Backbone.find(str(tmp_path / "bare")).load(Head(asked, 4), 3)  # type: ignore[arg-type]
    assert equal(head_of(loaded, fresh), head_of(bare, also_fresh))


def test_what_a_configuration_says_of_labels_does_not_matter(tmp_path: Path):
    folder, model = fine_tuned(tmp_path / "tuned", "bert", "sequence", 3)
    model.config.problem_type = "regression"
    model.config.classifier_dropout = 0.3
    model.config.id2label = {0: "a", 1: "b", 2: "c"}
    model.config.save_pretrained(folder)
    loaded, fresh = Backbone.find(str(folder)).load(Head("sequence", 7), 0)
    assert fresh == {"classifier.weight", "classifier.bias"}
    assert loaded.classifier.weight.shape == (7, 32) and loaded.config.num_labels == 7


def test_a_pooler_that_is_carried_is_pretrained_and_one_that_is_missing_is_fresh(tmp_path: Path):
    torch.manual_seed(0)
    config = AutoConfig.for_model("bert", **CONFIGS["bert"])
    AutoModel.from_config(config).save_pretrained(tmp_path / "with")
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path / "without")
    carried = load_file(tmp_path / "with" / "model.safetensors")["pooler.dense.weight"]
    for seed in (0, 1):
        model, fresh = Backbone.find(str(tmp_path / "with")).load(Head("sequence", 2), seed)
        assert "bert.pooler.dense.weight" not in fresh
        assert torch.equal(model.bert.pooler.dense.weight, carried)
    poolers = []
    for seed in (0, 1):
        model, fresh = Backbone.find(str(tmp_path / "without")).load(Head("sequence", 2), seed)
        assert fresh == {
            f"{part}.{kind}" for part in ("classifier", "bert.pooler.dense") for kind in ("weight", "bias")
        }
        poolers.append(model.bert.pooler.dense.weight)
    assert not torch.equal(*poolers)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_language_models_head_is_neither_in_the_way_nor_lost(architecture: str, tmp_path: Path):
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **CONFIGS[architecture])
    saved = AutoModelForCausalLM.from_config(config)
    saved.save_pretrained(tmp_path)
    backbone = Backbone.find(str(tmp_path))
    _, fresh = backbone.load(Head("sequence", 2), 0)
    assert fresh == {"score.weight"}
    model, fresh = backbone.load(Head("language"), 0)
    assert not fresh and equal(dict(model.named_parameters()), dict(saved.named_parameters()))


def test_an_architecture_without_such_a_head_says_so(tmp_path: Path):
    AutoModel.from_config(AutoConfig.for_model("opt", **CONFIGS["opt"])).save_pretrained(tmp_path)
    with pytest.raises(NoSuchForm, match="transformers has no opt with a head for each token"):
        Backbone.find(str(tmp_path)).load(Head("token", 3), 0)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model("bert", **CONFIGS["bert"])).save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder: Path, change) -> None:
    stored = load_file(folder / "model.safetensors")
    save_file(change(stored), folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda stored: {name: t for name, t in stored.items() if "layer.1." not in name},
            "carries no weights for bert.encoder.layer.1.attention.output.LayerNorm.bias and 15 more",
        ),
        (
            lambda stored: {name: t for name, t in stored.items() if name != "embeddings.word_embeddings.weight"},
            "carries no weights for bert.embeddings.word_embeddings.weight, which",
        ),
        (
            lambda stored: {f"base_model.model.bert.{name}": t for name, t in stored.items()},
            "but for base_model.model.bert.embeddings.LayerNorm.bias and 38 more; save the whole model again",
        ),
        (lambda stored: {f"module.{name}": t for name, t in stored.items()}, "carries no weights for"),
        (
            lambda stored: stored | {"embeddings.word_embeddings.weight": torch.zeros(99, 16)},
            "another shape than its config.json says: bert.embeddings.word_embeddings.weight is 99×16, not 99×32",
        ),
        (
            lambda stored: stored | {"encoder.layer.2.output.dense.weight": torch.zeros(32, 48)},
            "weights of more layers than its config.json says: .*encoder.layer.2.output.dense.weight",
        ),
    ],
    ids=["a layer", "the embeddings", "peft's names", "torch's names", "a shape", "a layer too many"],
)
def test_weights_that_are_not_the_configurations_are_refused(bare: Path, change, said: str):
    rewrite(bare, change)
    with pytest.raises(BackboneError, match=said) as raised:
        Backbone.find(str(bare)).load(Head("sequence", 2), 0)
    assert "\n" not in str(raised.value)


def test_half_precision_is_read_as_single(bare: Path):
    rewrite(bare, lambda stored: {name: t.half() for name, t in stored.items()})
    model, _ = Backbone.find(str(bare)).load(Head("sequence", 2), 0)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    stored = load_file(bare / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, stored.float())


def test_weights_in_several_files_are_read_from_all(bare: Path):
    expected, _ = Backbone.find(str(bare)).load(Head("sequence", 2), 0)
    model = AutoModel.from_pretrained(bare)
    (bare / "model.safetensors").unlink()
    model.save_pretrained(bare, max_shard_size="40KB")
    assert len(list(bare.glob("model-*-of-*.safetensors"))) > 1
    loaded, _ = Backbone.find(str(bare)).load(Head("sequence", 2), 0)
    assert equal(dict(loaded.named_parameters()), dict(expected.named_parameters()))
    sorted(bare.glob("model-*-of-*.safetensors"))[0].unlink()
    with pytest.raises(
        BackboneError, match=r"lacks model-00001-of-\d+.safetensors, which model.safetensors.index.json"
    ):
        Backbone.find(str(bare))

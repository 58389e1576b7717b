"""What only a GPU can show: `make test-gpu`, on a machine that has one.

The models are tiny and random, so that the tests need no network. What is expected comes from the same cells on the
processor, from PyTorch's own count of the device's memory, or from a closed form.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)

from bench import ranks
from bench.measuring import PeakMemory
from bench.registry import Registry
from tests.conftest import read_records

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]

# Methods that start from the backbone's own weights or from constants: nothing of theirs is drawn on the device.
NOTHING_DRAWN = {
    "full": {"lr": 1e-3},
    "head": {"lr": 1e-2},
    "bitfit": {"lr": 1e-2},
    "layernorm": {"lr": 1e-2},
    "ia3": {"lr": 1e-2},
}
# Four bits need bitsandbytes, which not every machine with a GPU has; SPoT another task, whose words this tokenizer has
# not.
NEEDS_MORE = {"qlora", "spot"}


@pytest.fixture(scope="module")
def still_backbone(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Path:
    """A four-layer BERT without dropout, whose random numbers differ from device to device, and which one pass over the
    training data moves."""
    folder = tmp_path_factory.mktemp("backbone") / "still-bert"
    tokenizer = BertTokenizer.from_pretrained(tiny_backbone)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=4, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def native() -> list[str]:
    """The names of our methods, those that train nothing left out."""
    names = Registry().names("methods")
    return sorted(set(names) - {"zero_shot", "few_shot"} - NEEDS_MORE)


def records_by_label(results: Path) -> dict[str, dict]:
    return {record["cell"]["label"]: record for record in read_records(results).values()}


def test_every_method_trains_in_bf16_and_what_it_learnt_answers_again(bench, write_suite, still_backbone, tmp_path):
    path = write_suite(backbones=[str(still_backbone)], methods=native(), precision="auto", profile=False)
    done = bench("run", path, "--results", tmp_path / "results", "--share", 8)
    records = records_by_label(tmp_path / "results")
    assert done.returncode == 0, [record["reason"] for record in records.values() if record["reason"]]
    assert set(records) == set(native())
    for label, record in records.items():
        assert record["status"] == "trained", (label, record["reason"])
        assert record["environment"]["device"] == torch.cuda.get_device_name(0)
        assert record["environment"]["precision"] == "bf16"
    verified = bench("verify", tmp_path / "results")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_in_full_precision_it_learns_what_the_processor_learns(bench_process, write_suite, still_backbone, tmp_path):
    path = write_suite(backbones=[str(still_backbone)], methods=NOTHING_DRAWN, profile=False)
    found = {}
    for device, environ in (("gpu", {}), ("cpu", {"CUDA_VISIBLE_DEVICES": ""})):
        done = bench_process("run", path, "--results", tmp_path / device, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        found[device] = records_by_label(tmp_path / device)
    assert all(record["environment"]["device"] == "cpu" for record in found["cpu"].values())
    for label in NOTHING_DRAWN:
        here, there = found["gpu"][label]["history"], found["cpu"][label]["history"]
        for mine, theirs in zip(here, there, strict=True):
            assert mine["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-3), label
            assert mine["validation_loss"] == pytest.approx(theirs["validation_loss"], abs=1e-3), label


def test_what_is_counted_is_the_same_on_the_processor(bench_process, write_suite, still_backbone, tmp_path):
    path = write_suite(backbones=[str(still_backbone)], methods=["full", "lora", "prefix_tuning"])
    costs = {}
    for device, environ in (("gpu", {}), ("cpu", {"CUDA_VISIBLE_DEVICES": ""})):
        done = bench_process("run", path, "--results", tmp_path / device, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        costs[device] = {label: record["cost"] for label, record in records_by_label(tmp_path / device).items()}
    counted = ("weights_bytes", "stored_bytes", "gradient_bytes", "optimizer_bytes", "train_flops", "inference_flops")
    for label, (mine, theirs) in ((each, (costs["gpu"][each], costs["cpu"][each])) for each in costs["gpu"]):
        assert {key: mine[key] for key in counted} == {key: theirs[key] for key in counted}, label


def test_peak_memory_is_what_pytorch_counts(still_backbone):
    torch.cuda.empty_cache()
    kept = torch.zeros(1000, device="cuda")
    memory = PeakMemory(torch.device("cuda"))
    before = torch.cuda.memory_allocated()
    passing = torch.zeros(50_000_000, device="cuda")  # 200 MB, gone before memory is asked
    del passing
    assert memory.bytes() == torch.cuda.max_memory_allocated() - before
    assert memory.bytes() == pytest.approx(200_000_000, rel=0.02)
    assert kept.numel()


def test_a_bigger_batch_holds_more_memory(bench, write_suite, still_backbone, tmp_path):
    peaks = []
    for size in (8, 32):
        budget = {
            "train_examples": 64, "validation_examples": 40, "test_examples": 60, "epochs": 1, "batch_size": size,
            "max_length": 64,
        }  # fmt: skip
        path = write_suite(f"batch{size}", backbones=[str(still_backbone)], methods=["full"], budget=budget)
        assert bench("run", path, "--results", tmp_path / str(size)).returncode == 0
        [record] = read_records(tmp_path / str(size)).values()
        peaks.append(record["cost"]["peak_memory_bytes"])
    model = BertForSequenceClassification(BertConfig.from_pretrained(still_backbone))
    weights = 4 * sum(p.numel() for p in model.parameters())
    # Weights, their gradients and two moments at the least.
    assert peaks[0] >= 4 * weights
    assert peaks[1] > peaks[0]


def test_the_same_seed_gives_the_same_scores_on_the_same_gpu(bench, write_suite, still_backbone, tmp_path):
    path = write_suite(backbones=[str(still_backbone)], methods=["lora", "pfeiffer", "full"], profile=False)
    for run in ("one", "two"):
        assert bench("run", path, "--results", tmp_path / run).returncode == 0
    one, two = (records_by_label(tmp_path / run) for run in ("one", "two"))
    for label, key in itertools.product(one, ("history", "test", "best_step")):
        assert one[label][key] == two[label][key], (label, key)


def test_the_report_says_which_gpu_it_was(bench, write_suite, still_backbone, tmp_path):
    path = write_suite(backbones=[str(still_backbone)], methods=["full", "lora"], seeds=[0, 1])
    assert bench("run", path, "--results", tmp_path / "results").returncode == 0
    assert bench("report", tmp_path / "results").returncode == 0
    assert torch.cuda.get_device_name(0) in (tmp_path / "results" / "report" / "index.html").read_text()
    manifest = json.loads((tmp_path / "results" / "manifest.json").read_text())
    assert manifest["environment"]["cores"]


@pytest.mark.parametrize("length", [32, 64, 192])
@pytest.mark.parametrize("low", [False, True])
def test_batches_that_are_padded_on_the_left_have_finite_gradients(length: int, low: bool):
    """As a language model is trained on answers: in bf16, a kernel of cuDNN gives NaN for some lengths."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = ranks.accelerator("bf16" if low else "no")
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=99, hidden_size=576, intermediate_size=256, num_hidden_layers=2,
                         num_attention_heads=9, num_key_value_heads=3)  # fmt: skip
    model = accelerator.prepare(LlamaForCausalLM(config).cuda())
    ids = torch.randint(0, 99, (8, length), device="cuda")
    mask = torch.ones_like(ids)
    for row in range(8):
        mask[row, : row * length // 16] = 0
    labels = ids.masked_fill(mask == 0, -100)
    loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    accelerator.backward(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_small_cells_share_the_gpu(bench, write_suite, still_backbone, tmp_path):
    path = write_suite(backbones=[str(still_backbone)], methods=["full", "head", "lora", "bitfit"], profile=False)
    for name, options in (("alone", ()), ("shared", ("--share", 4))):
        assert bench("run", path, "--results", tmp_path / name, *options).returncode == 0
    alone, shared = (records_by_label(tmp_path / name) for name in ("alone", "shared"))
    for label, record in alone.items():
        assert record["test"] == shared[label]["test"] and record["history"] == shared[label]["history"], label

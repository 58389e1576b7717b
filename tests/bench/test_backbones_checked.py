"""What is said of a backbone before a run, in one line: its configuration, tokenizer, weights, and how far it reads."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    TOKENIZER_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    ByT5Tokenizer,
    PreTrainedTokenizerFast,
)

from bench.backbones import Asked, Backbone, BackboneError, ready
from bench.backbones.places import read_with
from bench.backbones.vocabulary import unknown_share
from bench.data import DataError, prepare
from bench.forms.base import Head
from bench.forms.sequence import Classification
from bench.suite import Suite, SuiteError
from records.cell import Budget
from tests.bench.test_caches import Words
from tests.conftest import ROOT
from tests.methods.tiny import CONFIGS, batch

LEARNED = ("bert", "roberta", "xlm-roberta", "electra", "distilbert", "albert", "gpt2", "opt", "bart")
ROTARY = ("modernbert", "llama", "mistral", "qwen2", "qwen3", "gemma")


@pytest.fixture
def folder(tiny_backbone: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT, to be spoilt."""
    return Path(shutil.copytree(tiny_backbone, tmp_path / "model"))


def configure(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def fault(folder: Path | str) -> str:
    with pytest.raises(BackboneError) as raised:
        Backbone.find(str(folder)).check()
    said = str(raised.value)
    assert "\n" not in said and len(said) < 800
    return said


def test_a_sound_folder_passes_whatever_it_is_called(folder: Path):
    for name in ("my model (v2) 50%_#1", "größe", "a;b,c:d"):
        folder = folder.rename(folder.with_name(name))
        backbone = Backbone.find(str(folder))
        backbone.check()
        assert backbone.card.title == name
        assert backbone.load(Head("sequence", 2), 0)[1] == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hidden_size": "32"}, "'hidden_size' expected int, got str"),
        ({"num_hidden_layers": None}, "'num_hidden_layers' expected int, got NoneType"),
        ({"intermediate_size": 48.5}, "'intermediate_size' expected int, got float"),
        ({"num_labels": "2"}, "wrong type for num_labels: '2'"),
        ({"id2label": ["a", "b"]}, "wrong type for id2label"),
        ({"hidden_size": -32}, "describes no model: Trying to create tensor with negative dimension"),
        ({"num_attention_heads": 5}, r"describes no model: The hidden size \(32\) is not a multiple"),
        ({"num_attention_heads": 0}, "describes no model"),
        ({"hidden_act": "swish2"}, "describes no model: unknown value or missing key 'swish2'"),
        ({"hidden_dropout_prob": 2.0}, "describes no model: dropout probability has to be between 0 and 1"),
        ({"hidden_size": 64}, "weights of another shape than its config.json says: .* is 32, not 64"),
        ({"max_position_embeddings": 64}, "position_embeddings.weight is 128×32, not 64×32"),
        ({"num_hidden_layers": 3}, "carries no weights for encoder.layer.2.* and 15 more, which its config.json"),
        ({"num_hidden_layers": 1}, "weights of more layers than its config.json says: encoder.layer.1.* and 15 more"),
        ({"num_hidden_layers": 0}, "weights of more layers than its config.json says: encoder.layer.0.* and 31 more"),
        ({"model_type": "none"}, "is a 'none', which transformers .* does not know"),
        ({"model_type": 3}, "names no model_type"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}, "needs code of its own .*never run"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantised \(gptq\).*the method qlora"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, r"quantised \(bitsandbytes"),
        ({"quantization_config": {"quant_method": "awq"}}, r"quantised \(awq\)"),
        ({"quantization_config": {"quant_method": "fp8"}}, r"quantised \(fp8\)"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_configuration_that_is_wrong(folder: Path, values: dict, said: str):
    configure(folder, **values)
    assert re.search(said, fault(folder))


@pytest.mark.parametrize("text", ["[]", "", "{", "\x00\x01", '"bert"', "null"])
def test_a_configuration_that_is_none(folder: Path, text: str):
    (folder / "config.json").write_text(text)
    assert "config.json" in fault(folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", lambda data: data[:-1], "no whole file of safetensors: .*not fully covered"),
        ("model.safetensors", lambda data: data[:100], "no whole file of safetensors"),
        ("model.safetensors", lambda data: data + b"x", "no whole file of safetensors"),
        ("model.safetensors", lambda data: b"", "no whole file of safetensors"),
        ("model.safetensors", lambda data: b"\xff" * 999, "no whole file of safetensors"),
        ("model.safetensors", lambda data: b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("tokenizer.json", lambda data: data[:500], "the tokenizer of .* cannot be read"),
        ("tokenizer.json", lambda data: b"{}", "the tokenizer of .* cannot be read"),
        ("tokenizer.json", lambda data: b"version https://git-lfs.github.com", "the tokenizer of .* cannot be read"),
        ("tokenizer_config.json", lambda data: b"[]", "the tokenizer of .* cannot be read"),
    ],
)  # fmt: skip
def test_a_file_that_is_broken(folder: Path, name: str, content: Callable[[bytes], bytes], said: str):
    (folder / name).write_bytes(content((folder / name).read_bytes()))
    assert re.search(said, fault(folder))


def test_pickled_weights_are_named_and_not_read(folder: Path):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "no model.safetensors; pytorch_model.bin is pickled, which can run code, and is not read" in fault(folder)


def test_weights_in_eight_bits_without_a_word_in_the_configuration(folder: Path):
    from safetensors.torch import load_file, save_file

    stored = load_file(folder / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    save_file(stored | {name: stored[name].to(torch.float8_e4m3fn)}, folder / "model.safetensors")
    assert f"keeps {name} in F8_E4M3: its weights are quantised" in fault(folder)


@pytest.mark.parametrize("with_config", [True, False])
def test_an_adapters_folder_names_its_base(folder: Path, with_config: bool):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base"}))
    if not with_config:
        (folder / "config.json").unlink()
    assert "is the folder of an adapter, not of a model; its base model is 'some/base'; name the base" in fault(folder)


@pytest.mark.parametrize(
    "spec", ["x" * 5000, "a\0b", "~nobody-of-that-name/x", "", "config:", "/dev/null", "no/such/place"]
)
def test_no_place_at_all(spec: str):
    assert fault(spec)


def test_no_tokenizer(folder: Path):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    said = fault(folder)
    assert "has no tokenizer: none of tokenizer.json, vocab.txt is in its folder" in said
    with pytest.raises(BackboneError, match="has no tokenizer"):
        Backbone.find(str(folder)).tokenizer()


def test_a_tokenizer_that_is_ready_is_had_once_and_while_its_files_are_as_they_were(folder: Path, monkeypatch):
    backbone = Backbone.find(str(folder))
    backbone.make_ready()
    with monkeypatch.context() as context:
        context.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: pytest.fail("read again"))
        found = backbone.tokenizer()
    assert backbone.tokenizer() is not found  # who had it may have changed it
    backbone.make_ready()
    path = folder / "tokenizer.json"
    before = path.stat()
    path.write_text(path.read_text(encoding="utf-8").replace('"red"', '"tan"'), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert "tan" in backbone.tokenizer().get_vocab() and "tan" not in found.get_vocab()


def test_a_tokenizer_whose_files_changed_while_it_was_read_is_not_ready(folder: Path, monkeypatch):
    read = AutoTokenizer.from_pretrained
    path, asked = folder / "tokenizer.json", []

    def read_and_change(*_: object, **__: object) -> object:
        asked.append(read(folder))
        os.utime(path)
        return asked[-1]

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", read_and_change)
    backbone = Backbone.find(str(folder))
    backbone.make_ready()
    assert backbone.tokenizer() is not asked[0]


def test_positions_are_those_of_the_configuration_as_it_is_now(folder: Path):
    for count in (24, 48):
        configure(folder, max_position_embeddings=count)
        assert [Backbone.find(str(folder)).positions for _ in range(2)] == [count, count]


def test_what_was_made_ready_is_not_made_again_where_it_is_loaded(tiny_backbone: Path):
    """In forks of a process, one before and one after: transformers keeps what it compiles for as long as a process."""
    script = f"""
        import os, re._compiler
        from bench.backbones import Backbone
        from bench.forms.base import Head
        backbone = Backbone.find({str(tiny_backbone)!r})
        compiled, counted, compile, count = [], [], re._compiler.compile, Backbone._count_positions
        re._compiler.compile = lambda *given: compiled.append(given) or compile(*given)
        Backbone._count_positions = lambda *given: counted.append(given) or count(*given)
        def load():
            if child := os.fork():
                return os.waitpid(child, 0)
            compiled.clear(), counted.clear()
            backbone.load(Head("sequence", 3), 0), backbone.positions
            print(len(compiled), len(counted), flush=True)
            os._exit(0)
        load()
        backbone.make_ready()
        load()
    """
    environ = os.environ | {"TRANSFORMERS_VERBOSITY": "error"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    (before, counted), (after, counted_after) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert before > 50 and after < before / 5
    assert (counted, counted_after) == (1, 0)


def test_what_is_near_and_cheap_to_have_is_made_ready(folder: Path, monkeypatch):
    made = []
    monkeypatch.setattr(Backbone, "make_ready", lambda backbone: made.append(backbone.spec))
    monkeypatch.setenv("HOME", str(folder.parent))
    (folder.parent / "model.gguf").touch()
    (folder.parent / "organisation" / "name").mkdir(parents=True)  # a cache of its own making, without a configuration
    for spec in ("model", "~/model", str(folder), "embedded:minilm-l6", "model.gguf", "organisation/name", "none"):
        ready.make(spec, folder.parent)
    assert made == ["model", "~/model", str(folder), "embedded:minilm-l6"]


@pytest.mark.parametrize("architecture", [*LEARNED, "qwen2", "gemma", "t5", "deberta-v2"])
def test_whatever_a_tokenizer_is_read_from_tells_a_folder_from_others(architecture: str, tmp_path: Path):
    names = set(TOKENIZER_MAPPING[type(AutoConfig.for_model(architecture))].vocab_files_names.values())
    assert names
    for name in names:
        (tmp_path / name).touch()
    assert names <= {path.name for path in read_with(tmp_path)}


def test_a_tokenizer_without_offsets(tmp_path: Path):
    t5 = CONFIGS["t5"] | {"vocab_size": 384, "decoder_start_token_id": 0}
    AutoModel.from_config(AutoConfig.for_model("t5", **t5)).save_pretrained(tmp_path)
    ByT5Tokenizer().save_pretrained(tmp_path)
    assert "of the slow kind (ByT5Tokenizer)" in fault(tmp_path)


def test_tokens_beyond_the_embeddings(folder: Path):
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<user>", "<a>", "<b>", "<c>"])
    tokenizer.save_pretrained(folder)
    assert f"its {size} embeddings do not reach: '<user>' ({size}), '<a>' ({size + 1}), '<b>'" in fault(folder)
    assert " and 1 more; take them out" in fault(folder)
    model = AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    Backbone.find(str(folder)).check()


@pytest.mark.parametrize("architecture", [*LEARNED, *ROTARY, "t5", "deberta-v2"])
def test_how_far_it_reads_is_what_the_model_itself_takes(architecture: str, tmp_path: Path):
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(architecture, **CONFIGS[architecture])).save_pretrained(tmp_path)
    backbone = Backbone.find(str(tmp_path))
    if architecture not in LEARNED:
        assert backbone.positions == (64 if architecture in ROTARY else None)
        return
    assert backbone.positions is not None
    model, _ = backbone.load(Head("sequence", 3), 0)
    model(**batch(architecture, length=backbone.positions))
    with pytest.raises((IndexError, RuntimeError)):
        model(**batch(architecture, length=backbone.positions + 1))


def asked(kind: str, form: str = "head", shots: int = 0, extra: int = 0, **budget: int) -> Asked:
    return Asked(kind, form, Budget(**budget), shots, extra)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("architecture", "fits", "beyond", "advice"),
    [
        ("bert", asked("classification", max_length=64), asked("classification", max_length=65), "max_length: 64 or"),
        # Asked in words, an encoder's cells do not apply.
        ("bert", asked("generation", max_length=99), asked("tagging", max_length=99), "99 tokens are beyond the 64"),
        ("roberta", asked("regression", max_length=62), asked("regression", max_length=63), "max_length: 62 or less"),
        ("deberta-v2", asked("tagging", max_length=9999), None, ""),
        (
            "gpt2",
            asked("generation", max_length=44, max_target_length=20),
            asked("generation", max_length=45, max_target_length=20),
            "45 tokens and an answer of 20 are beyond the 64 positions of .*; write max_length: 44 or less",
        ),
        (
            "llama",
            asked("multiple choice", "text", 3, max_length=16),
            asked("multiple choice", "text", 3, max_length=17),
            "a question and 3 demonstrations of 17 each are beyond the 64 .*; write max_length: 16 or less",
        ),
        (
            "llama",
            asked("language modelling", "text", 3, max_length=64),
            asked("generation", max_length=8, max_target_length=60),
            "write a smaller max_length and max_target_length",
        ),
        (
            "bert",
            asked("classification", extra=20, max_length=44),
            asked("classification", extra=20, max_length=45),
            "45 tokens and a prompt of 20 are beyond the 64 .*; write max_length: 44 or less",
        ),
        # An answer has positions of its own in a decoder beside an encoder.
        (
            "bart",
            asked("generation", max_length=64, max_target_length=64),
            asked("generation", max_length=64, max_target_length=65),
            "64 tokens and an answer of 65 are beyond the 64 positions",
        ),
        ("t5", asked("generation", max_length=9999, max_target_length=9999), None, ""),
    ],
)
def test_lengths_that_fit_and_lengths_beyond(
    architecture: str, fits: Asked, beyond: Asked | None, advice: str, tmp_path: Path
):
    config = AutoConfig.for_model(architecture, **CONFIGS[architecture])
    decoder = architecture in ("gpt2", "llama")
    (AutoModelForCausalLM if decoder else AutoModel).from_config(config).save_pretrained(tmp_path)
    backbone = Backbone.find(str(tmp_path))
    assert fits.beyond(backbone) is None
    if beyond:
        assert re.search(advice, beyond.beyond(backbone) or "")


def faults(path: Path) -> list[str]:
    with pytest.raises(SuiteError) as raised:
        Suite.load(str(path))
    return str(raised.value).splitlines()


def test_a_suite_names_the_line_of_a_length_that_is_too_long(write_suite, tiny_backbone: Path):
    path = write_suite(budget={"max_length": 129})
    (line,) = [i for i, text in enumerate(path.read_text().splitlines(), 1) if "max_length" in text]
    said = f"129 tokens are beyond the 128 positions of {tiny_backbone}; write max_length: 128 or less"
    assert faults(path) == [f"{path}:{line}: budget.max_length: {said}"]
    # Nine tokens are left to a text beside the 119 of a prompt.
    path = write_suite(methods={"prompt_tuning": {"length": 119}}, budget={"max_length": 10})
    assert "10 tokens and a prompt of 119 are beyond the 128 positions" in faults(path)[0]
    path = write_suite(tasks={"colours": {"max_length": 129}})
    (line, _) = [i for i, text in enumerate(path.read_text().splitlines(), 1) if "max_length" in text]
    assert faults(path) == [f"{path}:{line}: tasks.colours.max_length: {said}"]


def test_a_suite_names_the_line_of_a_backbone_that_is_unsound(write_suite, tiny_backbone: Path, folder: Path):
    configure(folder, hidden_size=64)
    path = write_suite(backbones=[str(tiny_backbone), str(folder)])
    (line,) = [i for i, text in enumerate(path.read_text().splitlines(), 1) if str(folder) in text]
    (said,) = faults(path)
    assert said.startswith(f"{path}:{line}: backbones.1: {folder} carries weights of another shape")


def test_the_share_of_unknown_tokens(tiny_backbone: Path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    texts = ["red zzz blue", "zzz", "red"]  # two of five words, whatever begins and ends a text
    assert unknown_share(tokenizer, tokenizer(texts)["input_ids"]) == pytest.approx(2 / 5)
    assert unknown_share(tokenizer, [[tokenizer.cls_token_id, tokenizer.sep_token_id]]) == 0.0


def test_what_spells_in_bytes_has_no_unknown_tokens():
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters | {"</s>": 256}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    without = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    # As GPT-2's says: what ends a text also stands for what is unknown.
    borrowed = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="</s>")
    fallback = Tokenizer(models.BPE(vocab={"<unk>": 0, "a": 1}, merges=[], unk_token="<unk>", byte_fallback=True))
    spelling = PreTrainedTokenizerFast(tokenizer_object=fallback, unk_token="<unk>")
    assert [unknown_share(each, [[1, 2], [3]]) for each in (without, borrowed, spelling)] == [None] * 3


def test_texts_that_a_tokenizer_does_not_know_are_refused_and_few_unknown_are_counted(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    # Of the training texts' words, red, blue and green, and which of them the tokenizer knows.
    known = Classification(Words(), Backbone.find(str(tiny_backbone)).tokenizer(), 16)
    assert prepare(known, Budget(), 0).unknown_tokens == 0
    for words, share in (({"red", "blue"}, 1 / 4), ({"blue", "green"}, 1 / 2), ({"green"}, None)):
        folder = Path(shutil.copytree(tiny_backbone, tmp_path / "-".join(words)))
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text())
        vocabulary = content["model"]["vocab"]
        content["model"]["vocab"] = {
            word if word in words or word.startswith("[") else f"x{index}": index for word, index in vocabulary.items()
        }
        path.write_text(json.dumps(content))
        form = Classification(Words(), Backbone.find(str(folder)).tokenizer(), 16)
        if share is not None:
            assert prepare(form, Budget(), 0).unknown_tokens == pytest.approx(share)
            continue
        with pytest.raises(DataError, match=f"75% of the tokens of the training texts of words .* of {folder}"):
            prepare(form, Budget(), 0)

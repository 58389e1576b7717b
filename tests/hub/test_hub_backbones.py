"""Backbones from the hub, loaded by the genuine code of transformers in processes of their own."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.hub.server import Hub

LOAD = """
from bench.backbones import Backbone, BackboneError
from bench.forms.base import Head
try:
    backbone = Backbone.find({spec!r})
    model, fresh = backbone.load(Head({head}), 0)
    print("DONE", backbone.revision, type(model).__name__, *sorted(fresh))
except BackboneError as error:
    print("ERROR", error)
"""
# Without torch, and so in a tenth of the time.
FETCH = """
from bench.backbones import Backbone, BackboneError
try:
    backbone = Backbone.find({spec!r})
    backbone.fetch()
    print("DONE", backbone.revision)
except BackboneError as error:
    print("ERROR", error)
"""


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a process reported, without what libraries print."""
    lines = [line for line in done.stdout.splitlines() if line.startswith(("DONE", "ERROR"))]
    assert len(lines) == 1, done.stdout + done.stderr
    return lines[0]


def load(python, spec: str, head: str = "'sequence', 2", **environ: str) -> str:
    return said(python(LOAD.format(spec=spec, head=head), **environ))


def fetch(python, spec: str, **environ: str) -> str:
    return said(python(FETCH.format(spec=spec), **environ))


@pytest.mark.exhaustive
def test_by_id_and_again_from_the_cache_once_the_hub_is_gone(hub: Hub, python):
    sha = hub.sha("models", "tiny/bert")
    first = load(python, "tiny/bert")
    assert first == f"DONE {sha} BertForSequenceClassification classifier.bias classifier.weight"
    assert load(python, "tiny/bert", HF_ENDPOINT="http://127.0.0.1:9") == first
    assert load(python, "tiny/bert", HF_HUB_OFFLINE="1") == first


def test_a_commit_is_loaded_and_nothing_of_another(hub: Hub, python):
    sha = hub.sha("models", "tiny/gpt2")
    assert load(python, f"tiny/gpt2@{sha}", "'language'") == f"DONE {sha} GPT2LMHeadModel"
    fetched = [request for request in hub.requests if "/resolve/" in request]
    assert fetched and all(f"/resolve/{sha}/" in request for request in fetched)


def test_a_cell_keeps_its_commit_though_the_branch_moves_on(hub: Hub, python):
    """What a worker is given is the commit that the suite was expanded with."""
    old = fetch(python, "tiny/bert").split()[1]
    (hub.path("models", "tiny/bert") / "README.md").write_text("changed\n")
    new = hub.sha("models", "tiny/bert")
    assert new != old
    pinned = FETCH.format(spec="tiny/bert").replace("'tiny/bert'", f"'tiny/bert', revision={old!r}")
    assert said(python(pinned)) == f"DONE {old}"
    assert fetch(python, "tiny/bert") == f"DONE {new}"


def test_heads(python):
    """All in one process, which imports the models' code once."""
    expected = {
        ("tiny/bert", "'token', 5"): "BertForTokenClassification classifier.bias classifier.weight",
        ("tiny/t5", "'language'"): "T5ForConditionalGeneration",
        ("tiny/t5", "'sequence', 3"): "T5ForSequenceClassification classification_head.dense.bias",
        ("config:tiny/gpt2", "'language'"): "GPT2LMHeadModel",
    }
    done = python("".join(LOAD.format(spec=spec, head=head) for spec, head in expected))
    found = [line for line in done.stdout.splitlines() if line.startswith(("DONE", "ERROR"))]
    for line, loaded in zip(found, expected.values(), strict=True):
        assert re.match(rf"DONE [0-9a-f]{{40}} {re.escape(loaded)}", line), done.stderr


def test_an_encoder_generates_no_text(python):
    assert load(python, "tiny/bert", "'language'").startswith("ERROR tiny/bert is an encoder and generates no text; ")


def test_a_wrong_revision(python):
    message = fetch(python, "tiny/bert@v9")
    assert message.startswith("ERROR the model tiny/bert has no revision 'v9'; https://")


def test_an_unknown_id(python):
    assert "the hub has no model tiny/none, or it is private; check the name, or set HF_TOKEN" in fetch(
        python, "tiny/none"
    )


def test_a_gated_repository(hub: Hub, python):
    hub.gated.add("tiny/bert")
    message = fetch(python, "tiny/bert")
    assert "access to the model tiny/bert is restricted, and there is no token in HF_TOKEN; accept its terms" in message
    message = fetch(python, "tiny/bert", HF_TOKEN="hf_none")
    assert "the token in HF_TOKEN has not been granted it" in message


def test_no_network(python):
    message = fetch(python, "tiny/bert", HF_ENDPOINT="http://127.0.0.1:9")
    assert "the model tiny/bert (main) could not be fetched whole from http://127.0.0.1:9" in message
    assert message.endswith("without a network, run a suite that needs none: bench run embedded")
    message = fetch(python, "tiny/bert", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE forbids to fetch it" in message and "bench run embedded" in message


def test_a_connection_that_breaks_off_is_taken_up_where_it_broke(hub: Hub, python):
    """The weights arrive whole, and the second request asks only for what is missing: to the chunk, which is made as
    small here as the model is."""
    hub.cut["model.safetensors"] = [20_000]
    small = "from huggingface_hub import constants\nconstants.DOWNLOAD_CHUNK_SIZE = 1000\n"
    assert said(python(small + FETCH.format(spec="tiny/bert"))).startswith("DONE")
    assert hub.ranges == ["model.safetensors bytes=20000-"]


def test_a_connection_that_keeps_breaking_off(hub: Hub, python):
    hub.cut["model.safetensors"] = [100] * 50
    message = fetch(python, "tiny/bert")
    assert message.startswith("ERROR the model tiny/bert (") and "could not be fetched whole" in message
    assert "a download goes on where it broke off" in message
    hub.cut.clear()
    assert fetch(python, "tiny/bert").startswith("DONE")


@pytest.mark.exhaustive
def test_a_slow_hub(hub: Hub, python):
    hub.delay = 3
    environ = {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    message = fetch(python, "tiny/bert", **environ)
    assert message.startswith("ERROR the model tiny/bert (main) could not be fetched whole")
    assert "HF_HUB_DOWNLOAD_TIMEOUT=60" in message


def test_no_safetensors(hub: Hub, python):
    """Weights that would be unpickled are not even fetched."""
    folder = hub.path("models", "tiny/bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "the model tiny/bert has no safetensors at" in fetch(python, "tiny/bert")
    assert not any("pytorch_model.bin" in request for request in hub.requests)


def test_remote_code_is_never_run(hub: Hub, python):
    folder = hub.path("models", "tiny/bert")
    config = (folder / "config.json").read_text()
    own = '{"auto_map": {"AutoModelForSequenceClassification": "own.Model", "AutoConfig": "own.Config"},'
    (folder / "config.json").write_text(config.replace("{", own, 1))
    (folder / "own.py").write_text("raise SystemExit('remote code was run')")
    message = load(python, "tiny/bert")
    assert message.startswith("DONE") and "BertForSequenceClassification" in message
    assert not any("own.py" in request for request in hub.requests)


def test_the_card_says_what_the_repository_says(hub: Hub, python):
    done = python("from bench.backbones import Backbone; print(Backbone.find('tiny/bert').card)")
    assert "licence='apache-2.0'" in done.stdout and "bert, 2 layers, hidden size 32" in done.stdout

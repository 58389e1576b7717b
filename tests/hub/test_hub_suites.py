"""The built-in suites that need the hub are valid, which takes no data and no weights: configurations are enough."""

from __future__ import annotations

import shutil

import pytest
import yaml

from bench.suite import BUILT_IN
from tests.hub.server import Hub

# Something of the same kind stands for every backbone.
STAND_INS = {"FacebookAI/roberta-base": "bert"}


@pytest.mark.parametrize("name", ["glue", "superglue", "scaling", "commonsense", "metamath"])
def test_a_suite_is_valid(hub: Hub, python, name: str):
    suite = yaml.safe_load((BUILT_IN / f"{name}.yaml").read_text())
    for spec in suite["backbones"]:
        repo, _, commit = spec.partition("@")
        shutil.copytree(hub.path("models", f"tiny/{STAND_INS.get(repo, 'gpt2')}"), hub.path("models", repo))
        if commit:
            hub.pinned[repo] = commit
    code = f"from bench.suite import Suite, SuiteError\ntry: print('CELLS', len(Suite.load({name!r}).cells))\n"
    done = python(code + "except SuiteError as error: print(error)")
    axes = [len(suite[axis]) for axis in ("backbones", "tasks", "methods", "seeds")]
    assert f"CELLS {axes[0] * axes[1] * axes[2] * axes[3]}" in done.stdout, done.stdout + done.stderr
    assert not any("model.safetensors" in request for request in hub.requests)

"""Backbones from the Hugging Face hub, pinned to a commit. Importing this needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.backbones import weights
from bench.backbones.places import read_config
from bench.backbones.weights import BackboneError
from records.cards import BackboneCard as Card
from tasks.hub import explain, licence, snapshot

# `organisation/name`, and after an @ a commit, a tag or a branch.
SPEC = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?")

CONFIGURATION = ["*.json", "*.txt", "*.model", "README.md"]
WEIGHTS = ["model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"]


@dataclass(frozen=True)
class Hub:
    """A model's repository. `wanted` is what to load of it, a commit or a name for one; `revision` is the commit, which
    is looked up once, in the cache where the hub is not to be reached."""

    repo: str
    wanted: str = "main"

    @property
    def revision(self) -> str:
        """The commit."""
        return self.config.name

    @cached_property
    def config(self) -> Path:
        """The folder with the configuration and the tokenizer."""
        return self._snapshot(self.wanted, CONFIGURATION)

    @cached_property
    def weights(self) -> Path:
        """The folder with the weights as well. Raises BackboneError where there are none in safetensors."""
        folder = self._snapshot(self.revision, CONFIGURATION + WEIGHTS)
        if not list(folder.glob("model*.safetensors")):
            raise BackboneError(
                f"the model {self.repo} has no safetensors at {self.revision[:12]}, and other formats, which can run"
                f" code, are not read; https://huggingface.co/{self.repo}/discussions may offer them as a pull"
                f" request, to be named as {self.repo}@refs/pr/1"
            )
        weights.check(folder)
        return folder

    def card(self, spec: str) -> Card:
        """What config.json and the model's page say of it."""
        config = read_config(self.config)
        return Card(
            name=spec,
            title=self.repo.partition("/")[2],
            architecture=f"{config['model_type']}{_dimensions(config)}",
            summary=f"The model {self.repo} of the Hugging Face hub at the commit {self.revision}.",
            licence=licence(self.config) or "see the model's page",
        )

    def _snapshot(self, revision: str, patterns: list[str]) -> Path:
        try:
            return snapshot(self.repo, revision, "model", patterns)
        except Exception as error:
            raise BackboneError(explain(error, self.repo, revision, "model")) from error


def _dimensions(config: dict[str, Any]) -> str:
    """Layers and hidden size, under the names that architectures have for them."""
    layers = next((config[key] for key in ("num_hidden_layers", "n_layer", "num_layers") if key in config), None)
    hidden = next((config[key] for key in ("hidden_size", "n_embd", "d_model", "dim") if key in config), None)
    return f", {layers} layers, hidden size {hidden}" if layers and hidden else ""

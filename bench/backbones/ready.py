"""What workers find made in the process that they are forked from, where each would make it anew."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path

import transformers

from bench.backbones.base import EMBEDDED_PREFIX, Backbone
from bench.backbones.places import Plain


def make(spec: str, base: Path) -> None:
    """Reads a backbone's tokenizer, where it is in a folder: what is on the hub or converted may take long to have.
    A relative path is seen from `base`. Raises BackboneError."""
    if not spec.startswith(EMBEDDED_PREFIX) and not (base / Path(spec).expanduser() / "config.json").is_file():
        return
    backbone = Backbone.find(spec, base)
    if not isinstance(backbone.place, Plain):
        return
    transformers.logging.set_verbosity_error()  # nobody would know which cell it is about
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backbone.make_tokenizer_ready()
    # transformers writes out and compiles how it renames the weights of all its models, for every process that loads
    # one; a release that does so elsewhere is none the worse.
    with contextlib.suppress(ImportError):
        from transformers.conversion_mapping import get_checkpoint_conversion_mapping

        get_checkpoint_conversion_mapping(backbone.configuration().model_type)

"""What workers find made in the process that they are forked from, where each would make it anew."""

from __future__ import annotations

import warnings
from pathlib import Path

import transformers

from bench.backbones.base import EMBEDDED_PREFIX, Backbone
from bench.backbones.places import Plain


def make(spec: str, base: Path) -> None:
    """Makes a backbone ready that is in a folder: what is on the hub or converted may take long to have.
    A relative path is seen from `base`. Raises BackboneError."""
    if not spec.startswith(EMBEDDED_PREFIX) and not (base / Path(spec).expanduser() / "config.json").is_file():
        return
    backbone = Backbone.find(spec, base)
    if not isinstance(backbone.place, Plain):
        return
    transformers.logging.set_verbosity_error()  # nobody would know which cell it is about
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backbone.make_ready()

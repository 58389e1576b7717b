"""Backbones: where the weights are, which they are, and a head on top. Importing this needs no torch."""

from bench.backbones.base import Backbone, BackboneError, Card, fresh_parameters
from bench.backbones.embedded import EMBEDDED, names

__all__ = ["EMBEDDED", "Backbone", "BackboneError", "Card", "fresh_parameters", "names"]

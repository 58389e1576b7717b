"""Backbones: where the weights are, which they are, and a head on top. Importing this needs no torch."""

from bench.backbones.base import Backbone
from bench.backbones.embedded import EMBEDDED, names
from bench.backbones.lengths import Asked
from bench.backbones.loading import fresh_parameters
from bench.backbones.places import Card
from bench.backbones.weights import BackboneError

__all__ = ["EMBEDDED", "Asked", "Backbone", "BackboneError", "Card", "fresh_parameters", "names"]

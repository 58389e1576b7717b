"""Backbones: where the weights are, which they are, and a head on top. Importing this needs no torch."""

from bench.backbones.base import RANDOM, Backbone
from bench.backbones.embedded import EMBEDDED, names
from bench.backbones.lengths import Asked
from bench.backbones.loading import fresh_parameters
from bench.backbones.weights import BackboneError
from records.cards import BackboneCard as Card

__all__ = ["EMBEDDED", "RANDOM", "Asked", "Backbone", "BackboneError", "Card", "fresh_parameters", "names"]

"""Sparse fine-tuning: a small part of the backbone's own parameters is trained."""

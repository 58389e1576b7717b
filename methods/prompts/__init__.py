"""Soft prompts: trained vectors that join the input."""

"""Adapters: small trained functions between frozen layers."""

"""Hypernetworks: trained generators of other modules' parameters."""

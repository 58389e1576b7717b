"""Figures and schematics, drawn under a theme."""

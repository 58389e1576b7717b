"""Runs cells of a PEFT benchmark. Importing this package imports nothing heavy."""

__version__ = "0.1.0"

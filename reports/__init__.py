"""Turns a results folder into documents. Reads that and nothing else: no torch, no methods, no tasks."""

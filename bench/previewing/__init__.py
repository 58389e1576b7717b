"""Looks at a suite's examples as its models will read them, before anything is trained."""

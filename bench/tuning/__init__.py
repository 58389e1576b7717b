"""Hyperparameters are searched with the same effort for every method, on validation data alone."""

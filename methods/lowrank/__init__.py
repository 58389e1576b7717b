"""Low-rank adaptation: a change of a matrix as a product of thin ones."""

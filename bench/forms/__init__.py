"""How a task is put to a model: with a fresh head, or as text."""

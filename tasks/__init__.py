"""Tasks: data, and how predictions are scored."""

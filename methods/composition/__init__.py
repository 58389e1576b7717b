"""How a module meets the backbone: by its parameters, its input, or its function (Pfeiffer et al. 2023)."""

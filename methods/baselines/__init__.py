"""What adaptation is held against: all parameters, the head alone, the top layers, prompting without training."""

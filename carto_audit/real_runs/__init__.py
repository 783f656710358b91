"""Real runs: the training of the model that matters. Controls are planted in its batch before it begins: `plant_batch`."""

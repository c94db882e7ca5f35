"""What is computed: data, activations, model, losses, optimizers, metrics, training. torch; no Ray, no files."""

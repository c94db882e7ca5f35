"""What a person watches: progress, status, the display, TensorBoard. No Ray."""

"""What is kept: the only code that names files in an output folder. No torch, no Ray."""

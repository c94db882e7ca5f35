"""The process that everything runs in: signals, streams, environment, paths, and the fault points that the kill tests use."""

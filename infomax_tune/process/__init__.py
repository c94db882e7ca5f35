"""The process it all runs in: signals, streams, environment, and the points where the kill tests reach in."""

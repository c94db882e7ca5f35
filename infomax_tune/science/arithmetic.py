"""The number of our arithmetic, which identifies trials that another version computed differently. Imports nothing."""

ARITHMETIC = 3
"""Raise it with every change that can alter a bit of a trial: the order of operations, a formula, an initial weight,
the order of the data. It is part of each record, and a sweep does not mix two. Records from before it existed count as
1.

2: compiled loops, first weights drawn in two operations, and a Gaussian total correlation that leaves one unit out where
outputs sum to 1.
3: the loops' gradient of the weights is summed row by row.
"""

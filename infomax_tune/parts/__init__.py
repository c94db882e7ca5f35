"""What a study is made of: activations, datasets, terms of a loss, optimizers, metrics. Each is one object in one file.

A part's facts are plain data, and a part imports no torch until one of its formulas runs.
"""

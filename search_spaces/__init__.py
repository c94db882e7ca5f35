"""The studies, one YAML each, and the loader that expands a space into its trials."""

from search_spaces.loader import SearchSpace, bundled, load, parse

__all__ = ["SearchSpace", "bundled", "load", "parse"]

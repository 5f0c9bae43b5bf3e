"""Experiments: the systems that are trained, launching, comparing, sweeping, and what suits a data set."""

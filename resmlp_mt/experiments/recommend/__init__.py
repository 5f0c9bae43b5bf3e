"""Recommended settings for a data set, and the expected training time."""

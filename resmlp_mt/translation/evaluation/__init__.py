"""Scores of translations and their significance."""

"""Figures and statistics of learned mixing matrices."""

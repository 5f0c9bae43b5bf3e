"""Prediction, evaluation, and features of a frozen classifier."""

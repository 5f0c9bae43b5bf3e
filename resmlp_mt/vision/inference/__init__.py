"""Prediction, evaluation, and classification of the features of a frozen classifier."""

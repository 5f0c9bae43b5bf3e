"""Evaluation: scores, significance tests, leaks from the training data, figures."""

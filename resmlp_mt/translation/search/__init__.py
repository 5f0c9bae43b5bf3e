"""Beam search: logits processors, selectors, constraints, sampling; forced decoding."""

"""Beam search, sampling, constraints and forced decoding."""

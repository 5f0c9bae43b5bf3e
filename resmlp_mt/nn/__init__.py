"""Layers: mathematics on torch tensors, tokens first, (len, batch, dim)."""

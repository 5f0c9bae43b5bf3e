"""The image classifier and its registered architectures."""

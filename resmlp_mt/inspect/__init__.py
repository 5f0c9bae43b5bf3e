"""What the mixing matrices of a trained model have learned: figures and numbers."""

"""Starts the training of a recipe on a CPU, one GPU, several GPUs or several machines."""

"""Several systems trained in the same way, with their scores and speeds side by side."""

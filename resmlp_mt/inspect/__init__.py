"""Figures and measures of what the mixing matrices have learned."""

"""Systems, recipes, launching, comparison, sweeps, recommended settings."""

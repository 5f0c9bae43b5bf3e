"""The machine of a measurement, its peak and memory, and how results are printed."""

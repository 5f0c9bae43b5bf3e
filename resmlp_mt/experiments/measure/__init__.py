"""Benchmark tools: the machine and its peak speed, memory of processes, and tables."""

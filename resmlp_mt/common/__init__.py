"""Errors, configurations, files, versions, threads: what every package uses."""

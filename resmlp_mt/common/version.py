"""The version. The middle number increases when checkpoints of earlier versions no longer load (see CHANGELOG.md)."""

__version__ = "0.1.1"

"""The version. Its middle number grows when checkpoints of the version before no longer load (see CHANGELOG.md)."""

__version__ = "0.1.1"

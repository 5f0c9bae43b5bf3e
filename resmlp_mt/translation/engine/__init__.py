"""What computes behind the step interface of a search."""

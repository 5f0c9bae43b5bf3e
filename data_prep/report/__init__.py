"""The HTML report of a data set and the summary of a run."""

"""`report.html` and the summary of a run."""

"""What a training run keeps, watches and reports, beside what fairseq's trainer does."""

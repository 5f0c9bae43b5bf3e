"""Record, report and signals of a training run, without fairseq."""

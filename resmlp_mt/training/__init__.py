"""Records, reports and stop signals of training runs, without fairseq."""

"""From a parallel corpus to verified, binarised training data.

`pipeline` runs the stages in `stages`: acquire, verify, clean, select, learn the vocabulary, binarise. `manifest`
records the results, and `report` shows them. A corpus is one small file in `corpora`.
"""

"""From a parallel corpus to a verified, binarised data set: `python -m data_prep CORPUS --pair en-de --out DIR`.

`pipeline` runs the stages in `stages`: acquire, verify, clean, select, learn the vocabulary, binarise. `manifest`
records what they did, and `report` draws it. A corpus is one small file in `corpora`.
"""

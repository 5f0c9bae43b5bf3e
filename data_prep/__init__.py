"""From a parallel corpus to a verified, binarised data set: `python -m data_prep CORPUS --pair en-de --out DIR`.

One module per step: `acquire`, `verify`, `read`, `clean`, `select`, `segment`, `binarise`, `manifest`; `pipeline` runs
them in this order. A corpus is one small file in `corpora`.
"""

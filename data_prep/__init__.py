"""From a parallel corpus to verified, binarised training data.

One module per step: `acquire`, `verify`, `read`, `clean`, `select`, `segment`, `binarise`, `manifest`; `pipeline` runs
them in this order. A corpus is one small file in `corpora`.
"""

"""What depends on the processor: matmuls, packed linear layers, and folding; `dispatch` chooses among them.

The layers in `resmlp_mt.nn` hold the mathematics and call these; nothing here knows a layer.
"""

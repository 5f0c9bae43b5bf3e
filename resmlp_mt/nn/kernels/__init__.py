"""What depends on the processor: matrix products, packed linear layers, folding."""

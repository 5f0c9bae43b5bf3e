"""Files that are read and written: text, TSV, TMX, SGM, archives, blocks, and fairseq's index."""

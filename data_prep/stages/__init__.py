"""The stages of preparation, from getting the files to binarised shards."""

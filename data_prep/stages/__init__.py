"""The stages of data preparation, from acquiring the files to binarised shards."""

"""What suits a data set of a size, and how long it takes."""

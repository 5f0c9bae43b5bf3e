"""Data sets of images and what training changes in them."""

"""Image data sets, preprocessing and augmentation."""

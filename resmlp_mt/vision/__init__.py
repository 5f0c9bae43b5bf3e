"""Image classification: model, data, training and inference."""

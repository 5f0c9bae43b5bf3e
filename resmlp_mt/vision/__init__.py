"""Image classification: model, data, training, inference."""

"""ResMLP image classification: the models, their data, training and evaluation. torchvision and timm load when used."""

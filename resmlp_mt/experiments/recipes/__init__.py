"""Recipes: from a corpus to a scored model. Their settings are YAML files.

`config/NAME.yaml` has the training in the format of `fairseq-hydra-train`, which reads it too. `recipes.yaml` has the
corpus, averaging and scoring.
"""

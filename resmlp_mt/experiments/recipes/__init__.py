"""Recipes: from a corpus to a scored model. Their facts are YAML, which `fairseq-hydra-train` reads too.

`config/NAME.yaml` is the training, in the form of `fairseq-hydra-train`; `recipes.yaml` is what surrounds it: the
corpus, averaging and scoring.
"""

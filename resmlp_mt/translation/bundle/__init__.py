"""Bundles: a model with all that it needs to translate, in one folder."""

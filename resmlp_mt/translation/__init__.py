"""Translation: model, search, engine, text, bundles, evaluation."""

"""Subcommands of `resmlp-mt`: each is a thin main over a public function."""

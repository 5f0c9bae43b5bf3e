"""The `resmlp-mt` command: each subcommand is a thin main over a public function of the package."""

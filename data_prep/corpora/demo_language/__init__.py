"""The little English-German language of the demo corpus: words, meanings, and both languages' ways to say a meaning."""

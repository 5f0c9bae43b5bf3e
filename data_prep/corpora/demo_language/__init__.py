"""The grammar of the demo corpus: words, meanings, and their realisation in English and in German."""

"""From raw text to tokens and back."""

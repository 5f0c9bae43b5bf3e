"""The translation model: encoder, decoder, their configuration and state."""

"""ResMLP translation: the encoder, the decoder and what works with them. Only `model` knows fairseq."""

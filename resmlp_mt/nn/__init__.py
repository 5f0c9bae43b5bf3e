"""The layers. They need torch alone, take tokens first, (len, batch, dim), and know nothing of any toolkit."""

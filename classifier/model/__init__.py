"""The network, its tokenizer and its files in Hugging Face's format."""

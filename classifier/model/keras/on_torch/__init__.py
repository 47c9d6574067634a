"""What is PyTorch's own: the network in its own functions, recorded for a GPU, and its AdamW.

Imported where Keras' backend is `torch` alone.
"""

"""The network in PyTorch's own functions, recorded as CUDA graphs on a GPU, and a fused AdamW.

It is imported only if Keras' backend is `torch`.
"""

"""Everything that names Keras, TensorFlow or PyTorch: the network, its optimizers and the backend."""

"""What Keras computes with and on: its backend, the GPU, the number format.

Import it before Keras, which reads `KERAS_BACKEND` when it is imported; TensorFlow is the default.
"""

from __future__ import annotations

import os
from typing import Literal

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # by default it takes all of a GPU's memory at once
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # and JAX three quarters of it
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it PyTorch's products may differ in their bits
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # TensorFlow has its kernels for new processors only
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's banner is not an error

import keras  # noqa: TID253  # see `network`

from classifier.model.hardware import cpu_name, multiplies_bfloat16

Dtype = Literal["float32", "mixed_bfloat16", "mixed_float16"]


def best_dtype() -> Dtype:
    """Choose the number format that the machine multiplies fastest without losing accuracy.

    bfloat16 on a CPU that multiplies it and on GPUs since Ampere (compute capability 8), float16 on the Volta
    and Turing ones before, float32 otherwise.
    """
    if sees_gpu():
        capability = _capability()
        return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16" if capability >= (7, 0) else "float32"
    return "mixed_bfloat16" if multiplies_bfloat16() else "float32"


def backend() -> str:
    """Return what Keras computes with: tensorflow, torch or jax."""
    return str(keras.backend.backend())


def sees_gpu() -> bool:
    """Say whether Keras' backend can use a GPU."""
    if backend() == "torch":
        import torch

        return bool(torch.cuda.is_available())
    if backend() == "jax":
        import jax

        return bool(jax.default_backend() == "gpu")
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def device() -> str:
    """Return the name of what Keras' backend computes on, and the backend's."""
    return f"{_gpu_name() if sees_gpu() else cpu_name()} with {backend()}"


def _gpu_name() -> str:
    if backend() == "torch":
        import torch

        return str(torch.cuda.get_device_name())
    if backend() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import tensorflow as tf

    gpu = tf.config.list_physical_devices("GPU")[0]
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", "a GPU"))


def is_tensorflow_on_cpu() -> bool:
    """Say whether what is tuned for TensorFlow on a CPU holds."""
    return backend() == "tensorflow" and not sees_gpu()


def _capability() -> tuple[int, int]:
    """Return the first GPU's compute capability; of JAX, which does not say in one form, that of Ampere."""
    found: tuple[int, int] = (8, 0)
    if backend() == "torch":
        import torch

        found = torch.cuda.get_device_capability()
    elif backend() == "tensorflow":
        import tensorflow as tf

        gpu = tf.config.list_physical_devices("GPU")[0]
        found = tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
    return found


def make_repeatable() -> None:
    """Have a GPU add up in one order, so that a seed gives the same weights again. A CPU does by itself."""
    if backend() == "tensorflow" and sees_gpu():
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend() == "torch" and sees_gpu():
        import torch

        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # it would show who reads it, for 2 ms a step

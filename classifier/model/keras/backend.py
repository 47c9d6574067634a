"""Keras' backend: its name, its GPU, and the dtype that it computes in.

Import this module before Keras, which reads `KERAS_BACKEND` when it is imported. The default is TensorFlow.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from classifier.model.hardware import cpu_name, keras_backend, multiplies_bfloat16
from classifier.model.keras import native_messages

os.environ["KERAS_BACKEND"] = keras_backend()
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # by default it takes all of a GPU's memory at once
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it the bits of PyTorch's products may differ
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # by default TensorFlow uses oneDNN on new processors only
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's banner is not an error

with native_messages.hidden():
    import keras  # see `network`

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")  # this looks for CUDA, and complains if there is none

Dtype = Literal["float32", "mixed_bfloat16", "mixed_float16"]
"""Keras' names for the dtype of a network: with the mixed ones, weights stay float32."""


def best_dtype() -> Dtype:
    """Return the dtype that the machine multiplies fastest without loss of accuracy.

    It is bfloat16 on a CPU that multiplies it and on GPUs of compute capability 8 (Ampere) or later, float16 on GPUs of
    capability 7 (Volta, Turing), and float32 otherwise.
    """
    if sees_gpu():
        capability = _compute_capability()
        return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16" if capability >= (7, 0) else "float32"
    return "mixed_bfloat16" if multiplies_bfloat16() else "float32"


def backend() -> str:
    """Return the name of Keras' backend: tensorflow or torch."""
    return str(keras.backend.backend())


def sees_gpu() -> bool:
    """Return whether Keras' backend can use a GPU."""
    if backend() == "torch":
        import torch

        return bool(torch.cuda.is_available())
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def device() -> str:
    """Return the name of the processor or GPU that Keras computes on, and of the backend."""
    return f"{_gpu_name() if sees_gpu() else cpu_name()} with {backend()}"


def is_tensorflow_on_cpu() -> bool:
    """Return whether the layers and optimizers of `on_tensorflow` apply."""
    return backend() == "tensorflow" and not sees_gpu()


def make_deterministic() -> None:
    """Make a GPU add up in a fixed order, so that a seed gives the same weights again. A CPU does so anyway."""
    if backend() == "tensorflow" and sees_gpu():
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend() == "torch" and sees_gpu():
        import torch

        torch.use_deterministic_algorithms(True)
        # filling new memory would only help to find code that reads it before writing
        torch.utils.deterministic.fill_uninitialized_memory = False


def _gpu_name() -> str:
    if backend() == "torch":
        import torch

        return str(torch.cuda.get_device_name())
    return str(_tensorflow_gpu_details().get("device_name", "a GPU"))


def _compute_capability() -> tuple[int, int]:
    capability: tuple[int, int]
    if backend() == "torch":
        import torch

        capability = torch.cuda.get_device_capability()
    else:
        capability = _tensorflow_gpu_details().get("compute_capability", (0, 0))
    return capability


def _tensorflow_gpu_details() -> dict[str, Any]:
    import tensorflow as tf

    details: dict[str, Any] = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return details

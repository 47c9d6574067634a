"""Hide messages that TensorFlow's native code writes to standard error on a machine without a GPU.

It writes them before it reads `TF_CPP_MIN_LOG_LEVEL`, and they look like errors: that it found no CUDA driver, and
which library multiplies matrices.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from classifier.model.hardware import may_have_gpu

_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|[IWE]\d{4} .*(oneDNN|[Cc]uda|cuInit|TensorRT|cpu_feature_guard)"
    rb"|To enable the following instructions:"
)
_STDERR = 2


@contextmanager
def hidden() -> Iterator[None]:
    """Drop these messages inside the block; other lines are written at its end. With a GPU, drop none."""
    if may_have_gpu() or os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2") < "2":
        yield
        return
    try:
        original = os.dup(_STDERR)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(original, _STDERR)
            os.close(original)
            captured.seek(0)
            kept = b"".join(line for line in captured if not _NOISE.match(line))
            with suppress(OSError):
                os.write(_STDERR, kept)

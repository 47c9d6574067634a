"""The version of Keras' backend, which may be TensorFlow without CUDA."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from classifier.model import hardware


@pytest.mark.parametrize("installed", ["tensorflow", "tensorflow-cpu"])
def test_the_version_of_tensorflow_is_that_of_the_package_that_is_installed(monkeypatch, installed):
    def version(name):
        if name != installed:
            raise PackageNotFoundError(name)
        return "2.0"

    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(hardware, "version", version)
    assert hardware.backend_version() == {installed: "2.0"}

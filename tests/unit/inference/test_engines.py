"""The two engines compute the same network, and the choice between them says why."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from classifier.exceptions import SettingsError
from classifier.inference import engines, keras_engine
from classifier.inference.keras_engine import KerasEngine
from classifier.inference.openvino_engine import OpenVinoEngine
from classifier.model import hardware
from classifier.model.tokenization import pad
from tests.support.tiny_models import make_artefact

needs_bfloat16 = pytest.mark.skipif(
    not hardware.multiplies_bfloat16(), reason="the processor does not multiply bfloat16"
)

SHAPES = (
    {"layers": 1, "dim": 4, "heads": 1, "hidden_dim": 4},
    {"layers": 2, "dim": 8, "heads": 2, "hidden_dim": 16},
    {"layers": 3, "dim": 12, "heads": 3, "hidden_dim": 20},
    {"layers": 2, "dim": 64, "heads": 4, "hidden_dim": 256},
)


def random_batch(*, articles, tokens, vocabulary=17, seed=0):
    """Rows of every length from 2 to `tokens`, and one of padding."""
    generator = np.random.default_rng(seed)
    lengths = [2, tokens, *generator.integers(2, tokens + 1, articles - 3)]
    return pad([generator.integers(1, vocabulary, length).tolist() for length in lengths], tokens, articles)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape.values())))
def test_openvino_agrees_with_keras_in_float32(tmp_path, shape):
    checkpoint = make_artefact(tmp_path / "model", **shape).checkpoint()
    tokens, mask = random_batch(articles=8, tokens=48)
    ours = OpenVinoEngine(checkpoint).probabilities(tokens, mask)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, KerasEngine(checkpoint, 3).probabilities(tokens, mask), rtol=0, atol=1e-5)
    assert np.ptp(ours, axis=0).max() > 0.1  # the articles do differ
    np.testing.assert_allclose(ours.sum(axis=1), 1.0, rtol=0, atol=1e-6)


def test_one_engine_takes_batches_of_any_shape(tmp_path):
    checkpoint = make_artefact(tmp_path / "model").checkpoint()
    ours, theirs = OpenVinoEngine(checkpoint), KerasEngine(checkpoint, 3)
    for articles, length in ((4, 8), (3, 64), (16, 2), (4, 8)):
        tokens, mask = random_batch(articles=articles, tokens=length)
        expected = theirs.probabilities(tokens, mask)
        np.testing.assert_allclose(ours.probabilities(tokens, mask), expected, rtol=0, atol=1e-5)


@needs_bfloat16
def test_bfloat16_stays_near_float32(tmp_path):
    """Numbers of 8 bits, rounded at every step: some hundredths at the most, with the steep head used here."""
    checkpoint = make_artefact(tmp_path / "model", dim=64, heads=4, hidden_dim=256).checkpoint()
    tokens, mask = random_batch(articles=32, tokens=64)
    exact = OpenVinoEngine(checkpoint).probabilities(tokens, mask)
    rounded = OpenVinoEngine(checkpoint, dtype="bf16").probabilities(tokens, mask)
    assert 0 < np.abs(rounded - exact).max() < 0.03
    np.testing.assert_allclose(rounded.sum(axis=1), 1.0, rtol=0, atol=1e-6)


def test_padding_changes_nothing(tmp_path):
    ours = OpenVinoEngine(make_artefact(tmp_path / "model").checkpoint())
    tokens, mask = random_batch(articles=6, tokens=32)
    expected = ours.probabilities(tokens, mask)
    noise = np.where(mask == 1, tokens, np.random.default_rng(1).integers(1, 17, tokens.shape)).astype(np.int32)
    np.testing.assert_array_equal(ours.probabilities(noise, mask), expected)
    wider = [np.pad(array, ((0, 0), (0, 16))) for array in (tokens, mask)]
    np.testing.assert_allclose(ours.probabilities(*wider), expected, rtol=0, atol=1e-5)


def test_results_outlive_the_next_batch(tmp_path):
    ours = OpenVinoEngine(make_artefact(tmp_path / "model").checkpoint())
    first = ours.probabilities(*random_batch(articles=4, tokens=16))
    kept = first.copy()
    ours.probabilities(*random_batch(articles=4, tokens=16, seed=1))
    np.testing.assert_array_equal(first, kept)


def test_without_a_gpu_openvino_is_chosen_and_the_reason_logged(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    monkeypatch.setattr(hardware, "multiplies_bfloat16", lambda: False)
    with caplog.at_level(logging.INFO, logger="classifier"):
        chosen = engines.choose_engine(make_artefact(tmp_path / "model").load())
    assert (chosen.name, chosen.dtype) == ("openvino", "f32")
    assert caplog.messages == ["labelling with openvino in f32: there is no GPU"]
    assert caplog.records[0].reason == "there is no GPU"


@needs_bfloat16
def test_bfloat16_is_chosen_where_the_processor_multiplies_it(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    assert engines.choose_engine(make_artefact(tmp_path / "model").load()).dtype == "bf16"


@pytest.mark.parametrize(("seen", "expected"), [(True, "keras"), (False, "openvino")])
def test_with_a_gpu_device_tensorflow_is_asked(tmp_path, monkeypatch, seen, expected):
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: True)
    monkeypatch.setattr(keras_engine, "sees_gpu", lambda: seen)
    assert engines.choose_engine(make_artefact(tmp_path / "model").load(), dtype="f32").name == expected


@pytest.mark.parametrize("name", ["openvino", "keras"])
def test_the_requested_engine_and_dtype_are_used(tmp_path, name):
    chosen = engines.choose_engine(make_artefact(tmp_path / "model").load(), engine=name, dtype="f32")
    assert (chosen.name, chosen.dtype) == (name, "f32")


def test_a_gpus_memory_is_allocated_on_demand():
    name = "TF_FORCE_GPU_ALLOW_GROWTH"
    program = f"import os, classifier.model.keras.backend; print(os.environ['{name}'])"
    env = {key: value for key, value in os.environ.items() if key != name}
    result = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["true"]


def test_a_keras_backend_that_is_not_supported_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(SettingsError, match=r"^KERAS_BACKEND 'jax': must be one of tensorflow, torch$"):
        hardware.keras_backend()


def test_labelling_on_a_cpu_imports_no_framework(tmp_path):
    artefact = make_artefact(tmp_path / "model")
    program = (
        "import sys; from pathlib import Path; from classifier.model import artefact; "
        "from classifier.inference.fine_tuned_classifier import FineTunedClassifier; "
        "model = artefact.read_artefact(Path(sys.argv[1])).load(); "
        "FineTunedClassifier(model).labeller('openvino').probabilities(['the team']); "
        "sys.exit(', '.join({'keras', 'tensorflow', 'torch', 'transformers'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", program, str(artefact.directory)], check=True)


def test_that_the_processor_multiplies_bfloat16_is_read_from_its_flags(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    assert not hardware.multiplies_bfloat16(cpuinfo)
    cpuinfo.write_text("model name : amx_bf16\nflags : fpu avx512f avx512_bf16_not\n")
    assert not hardware.multiplies_bfloat16(cpuinfo)
    for flags in ("fpu amx_bf16 amx_tile", "fpu avx512f avx512_bf16 clzero", "avx512_bf16"):
        cpuinfo.write_text(f"model name : AMD EPYC\nflags\t\t: {flags}\n")
        assert hardware.multiplies_bfloat16(cpuinfo)


def test_the_processors_name_is_read_if_the_file_has_it(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    assert hardware.cpu_name(cpuinfo)
    cpuinfo.write_text("processor : 0\nmodel name\t: Fast: One\nmodel name\t: Other\n")
    assert hardware.cpu_name(cpuinfo) == "Fast: One"
    cpuinfo.write_text("processor : 0\n")
    assert hardware.cpu_name(cpuinfo)


@pytest.mark.parametrize(("device", "expected"), [("nvidia3", True), ("dxg", True), ("nvidiactl", False)])
def test_a_gpu_is_looked_for_among_the_devices(tmp_path, device, expected):
    (tmp_path / device).touch()
    assert hardware.may_have_gpu(tmp_path) is expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("200000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 8), ("9999999 100000\n", 8)]
)
def test_cores_are_limited_by_the_containers_quota(tmp_path, monkeypatch, quota, expected):
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(quota)
    assert hardware.available_cores(tmp_path / "cpu.max") == expected
    assert hardware.available_cores(tmp_path / "none") == 8


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape.values())))
def test_the_engines_agree_on_a_multi_label_model(tmp_path, shape):
    model = make_artefact(tmp_path / "model", kind="multi", **shape).load()
    tokens, mask = random_batch(articles=8, tokens=48)
    ours, theirs = (
        engines.choose_engine(model, engine=name, dtype="f32").probabilities(tokens, mask)
        for name in ("openvino", "keras")
    )
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.ptp(ours, axis=0).max() > 0.1
    assert np.ptp(ours.sum(axis=1)) > 0.1, "the probabilities of a text need not sum to 1"

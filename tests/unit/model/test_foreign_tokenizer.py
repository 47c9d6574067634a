"""A model from elsewhere is tokenised as `transformers` tokenises it, in every script and with every option."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from classifier.exceptions import EncoderError, EngineDisagreesError
from classifier.inference import agreement
from classifier.model import checkpoint, foreign_tokenizer
from classifier.model.tokenization import Tokenization
from tests.support.tiny_models import make_artefact, write_tokenizer

SCRIPTS = (
    (0x20, 0x7F), (0xC0, 0x180), (0x300, 0x370), (0x370, 0x400), (0x400, 0x460), (0x5B0, 0x5EB), (0x620, 0x660),
    (0x905, 0x950), (0xE01, 0xE5C), (0x1E00, 0x1F00), (0x2000, 0x2070), (0x3040, 0x3100), (0x4E00, 0x4F00),
    (0xAC00, 0xAD00), (0x1F600, 0x1F650), (0x20000, 0x20040), (0x00, 0x20), (0x7F, 0xA0), (0xFB00, 0xFB07),
    (0xFE00, 0xFE10), (0xFFF0, 0xFFFE), (0x0C80, 0x0CF0), (0x10A0, 0x10C6),
)  # fmt: skip
"""Latin, combining marks, Greek, Cyrillic, Hebrew, Arabic, Devanagari, Thai, punctuation and zero-width, kana,
ideographs, Hangul, emoji, control characters, ligatures, variation selectors, specials, Kannada, Georgian."""

LITERALS = (
    "[SEP]",
    "[sep]",
    "[CLS]",
    "[MASK]",
    "[mask]",
    "[UNK]",
    "[PAD]",
    " [SEP]x",
    "##s",
    "\u00df",
    "\u0130",
    "e\u0301",
)

CASED = {"do_lower_case": False, "model_max_length": 512}
"""What distilbert-base-cased and -multilingual-cased say."""

GERMAN = {"do_lower_case": False, "strip_accents": False, "model_max_length": 512}


def strings(count=1000, *, seed=0):
    """Draw strings of one or two scripts, with special tokens among them."""
    generator = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        ranges = [SCRIPTS[n] for n in generator.integers(0, len(SCRIPTS), 2)] + [(0x20, 0x7F)]
        parts = []
        for _ in range(generator.integers(1, 12)):
            low, high = ranges[generator.integers(0, 3)]
            word = "".join(chr(c) for c in generator.integers(low, high, generator.integers(1, 7)))
            parts.append(str(generator.choice(LITERALS)) if generator.random() < 0.1 else word)
        result.append(str(generator.choice(["", " "])).join(parts))
    return result


def vocabulary():
    """Return pieces for most characters that occur, with and without accents, at the start of and inside a word."""
    characters = sorted({c for text in strings() for c in text if not c.isspace()})
    plain = {p for c in characters for p in unicodedata.normalize("NFD", c.lower())}
    vocabulary = sorted({*plain, *characters} - set("qQ\u4e10\u0439"))
    return [*vocabulary, *(f"##{c}" for c in vocabulary)]


def write(directory: Path, *, tokenizer_json=True, lowercase=True, **options):
    """Write a model's tokenizer, and `options` into its configuration; its tokenizer.json may say another case."""
    directory.mkdir()
    write_tokenizer(directory, vocabulary())
    (directory / "config.json").write_text(json.dumps({"model_type": "distilbert"}))
    path = directory / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["do_lower_case"]
    path.write_text(json.dumps({**config, "tokenizer_class": "DistilBertTokenizer", **options}))
    if not tokenizer_json:
        (directory / "tokenizer.json").unlink()
    elif not lowercase:
        content = json.loads((directory / "tokenizer.json").read_text())
        content["normalizer"]["lowercase"] = False
        (directory / "tokenizer.json").write_text(json.dumps(content))
    return directory


def theirs(directory, texts, max_length):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    return tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]


def ours(directory, texts, max_length):
    return [list(pieces) for pieces in Tokenization.read(directory, max_length).pieces(texts)]


@pytest.mark.parametrize("tokenizer_json", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        CASED,
        GERMAN,
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"do_lower_case": False, "tokenize_chinese_chars": False},
        {"truncation_side": "left"},
        {"split_special_tokens": True},
        {"sep_token": "[MASK]"},
    ],
    ids=str,
)
def test_a_thousand_strings_of_many_scripts_have_the_ids_that_transformers_gives(tmp_path, options, tokenizer_json):
    source = write(tmp_path / "model", tokenizer_json=tokenizer_json, **options)
    texts = strings()
    resolved = foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache")
    for max_length in (16, 512):
        expected = theirs(source, texts, max_length)
        assert ours(resolved, texts, max_length) == expected
        assert theirs(resolved, texts, max_length) == expected, "transformers reads what we wrote the same way"


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("options", [{}, CASED], ids=str)
def test_tokenizer_config_decides_where_tokenizer_json_says_otherwise(tmp_path, lowercase, options):
    source = write(tmp_path / "model", lowercase=lowercase, **options)
    resolved = foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache")
    assert ours(resolved, strings(), 64) == theirs(source, strings(), 64)


def test_the_options_matter_to_these_strings(tmp_path):
    """Otherwise the tests above would show nothing."""
    texts = strings()
    usual = theirs(write(tmp_path / "usual"), texts, 16)
    for number, options in enumerate((
        CASED, {"strip_accents": False}, {"tokenize_chinese_chars": False}, {"truncation_side": "left"},
        {"split_special_tokens": True},
    )):  # fmt: skip
        other = theirs(write(tmp_path / f"other{number}", **options), texts, 16)
        assert sum(pieces != others for pieces, others in zip(usual, other, strict=True)) >= 20, options


def test_an_artefact_keeps_the_truncation_side_and_opens_in_transformers_with_the_same_ids(tmp_path):
    source = make_artefact(tmp_path / "model").directory
    path = source / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncation_side": "left"}))
    resolved = foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache")
    target = tmp_path / "artefact"
    target.mkdir()
    checkpoint.copy_tokenizer(resolved, target)
    (target / "config.json").write_text((source / "config.json").read_text())
    text = " ".join(["bank"] * 20 + ["market"] * 3)
    assert Tokenization.read(target, 8).truncation_side == "left"
    assert ours(target, [text], 8) == theirs(target, [text], 8) == theirs(source, [text], 8)
    assert Tokenizer.from_file(str(target / "tokenizer.json")).token_to_id("market") in ours(target, [text], 8)[0]


def test_what_was_written_before_keeps_its_pieces(tmp_path):
    """An artefact's tokenizer.json alone decides, whatever its tokenizer_config.json says."""
    files = make_artefact(tmp_path / "model")
    before = files.tokenization().pieces(["bank " * 100])
    path = files.directory / "tokenizer_config.json"
    path.write_text(json.dumps({"truncation_side": "left", "do_lower_case": False}))
    assert files.tokenization().truncation_side == "right"
    assert list(map(list, files.tokenization().pieces(["bank " * 100]))) == list(map(list, before))


def test_it_is_built_once_and_again_when_a_file_changes(tmp_path):
    source = write(tmp_path / "model")
    first = foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache")
    written = (first / "tokenizer.json").stat().st_mtime_ns
    assert foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache") == first
    assert (first / "tokenizer.json").stat().st_mtime_ns == written
    assert (first / "vocab.txt").read_bytes() == (source / "vocab.txt").read_bytes()
    (source / "tokenizer_config.json").write_text(json.dumps(CASED))
    assert foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache") != first
    assert {path.name for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")} == set()


def test_an_unreadable_tokenizer_is_refused_in_one_line(tmp_path):
    source = write(tmp_path / "model")
    (source / "tokenizer.json").write_text("{")
    with pytest.raises(EncoderError, match="transformers cannot read its tokenizer") as raised:
        foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache")
    assert "\n" not in str(raised.value)


def test_code_of_the_models_own_is_not_run(tmp_path):
    source = write(tmp_path / "model", auto_map={"AutoTokenizer": ["tokenization_own.Own", None]})
    (source / "tokenization_own.py").write_text("raise SystemExit('ran')")
    foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache")


def test_word_pieces_that_are_not_those_of_transformers_are_refused(tmp_path):
    source = write(tmp_path / "model", **CASED)
    wrong = Tokenization.read(source, 64)  # its tokenizer.json lowers case
    reference = foreign_tokenizer.transformers_tokenizer(source, 64)
    with pytest.raises(EngineDisagreesError, match=r"^tokenizer: \d+ of \d+ texts have other word pieces"):
        agreement.check_pieces(wrong, reference, foreign_tokenizer.PROBES)
    correct = Tokenization.read(foreign_tokenizer.resolve_tokenizer(source, tmp_path / "cache"), 64)
    agreement.check_pieces(correct, reference, [*foreign_tokenizer.PROBES, *strings(50)])

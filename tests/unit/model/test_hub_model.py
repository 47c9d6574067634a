"""A classifier is imported only if it is supported; otherwise one line gives the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from classifier.exceptions import EncoderError
from classifier.model import hub_model
from tests.support.tiny_models import CATEGORIES, make_artefact, make_bert, write_tokenizer


@pytest.fixture
def folder(tmp_path):
    """Write a classifier as `transformers` would save it: an artefact without the manifest."""
    directory = make_artefact(tmp_path / "model").directory
    (directory / "classifier.json").unlink()
    return directory


def read(folder, **options):
    return hub_model.read_hub_model(folder, cache=folder.parent / "tokenizers", **options)


def configure(folder: Path, **changes):
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def test_categories_come_in_the_order_of_the_outputs(folder):
    configure(folder, id2label={"2": "tech", "0": "business", "1": "sport"})
    assert read(folder).categories == CATEGORIES


def test_output_10_comes_after_output_9(folder):
    names = [f"c{output}" for output in range(12)]
    labels = {str(output): names[output] for output in reversed(range(12))}
    assert hub_model._labels(folder, {"id2label": labels}) == tuple(names)


def test_categories_can_be_named_where_the_model_does_not(folder):
    configure(folder, id2label={"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"})
    assert read(folder, categories=["x", "y", "z"]).categories == ("x", "y", "z")


@pytest.mark.parametrize(("requested", "used"), [(None, 64), (16, 16), (600, 64)])
def test_texts_are_cut_where_the_model_ends_at_the_latest(folder, requested, used):
    assert read(folder, max_length=requested).max_length == used


NAMELESS = {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta'; it must be 'distilbert' to be imported"),
        (
            {"architectures": ["DistilBertForTokenClassification"]},
            "architecture is 'DistilBertForTokenClassification'; it must be",
        ),
        ({"problem_type": "multi_label_classification"}, "a text must have one category"),
        ({"activation": "relu"}, "only the exact 'gelu' is supported"),
        ({"id2label": NAMELESS}, "only the default names LABEL_0 and so on; name them with --categories"),
        ({"id2label": ...}, "id2label of config.json must name"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label of config.json must name the outputs 0, 1"),
        ({"id2label": {"0": "a"}}, "id2label of config.json must name"),
        ({"id2label": {"0": "a", "1": "a", "2": "b"}}, "two or more different names"),
        ({"id2label": {"0": "a", "1": "b"}}, "id2label of config.json: 2 names, but the model has 3 outputs"),
        ({"dim": ...}, "config.json: 'dim' not found"),
    ],
)
def test_an_unsupported_model_is_refused(folder, changes, reason):
    configure(folder, **changes)
    with pytest.raises(EncoderError) as raised:
        read(folder)
    assert reason in str(raised.value)


def test_a_bert_is_refused(tmp_path):
    with pytest.raises(EncoderError, match="model_type is 'bert'"):
        read(make_bert(tmp_path / "bert"))


def test_pickled_weights_are_refused_unopened(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"model\.safetensors: not found"):
        read(folder)
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(EncoderError, match=r"pickled \(pytorch_model\.bin\), and unpickling runs code in the file"):
        read(folder)


def test_a_missing_tokenizer_or_another_models_is_refused(folder):
    write_tokenizer(folder, [f"word{n}" for n in range(50)])
    with pytest.raises(EncoderError, match="the tokenizer has 55 word pieces, the model 17"):
        read(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink()
    with pytest.raises(EncoderError, match=r"tokenizer\.json not found, nor vocab\.txt"):
        read(folder)


def test_a_model_must_be_of_the_tasks_kind(folder):
    with pytest.raises(EncoderError, match=r"config.json is 'single_label_classification'; in a multi-label task it"):
        read(folder, kind="multi")
    configure(folder, problem_type="multi_label_classification")
    assert read(folder, kind="multi").categories == CATEGORIES
    with pytest.raises(EncoderError, match="a text must have one category; import it into"):
        read(folder)
    configure(folder, problem_type="regression")
    with pytest.raises(EncoderError, match=r"problem_type is .regression.; a text must have one category$"):
        read(folder)
    with pytest.raises(EncoderError, match=r"problem_type of config.json is .regression.; in a multi-label task"):
        read(folder, kind="multi")

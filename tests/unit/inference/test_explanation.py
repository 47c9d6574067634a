"""Each word's figure is what it adds to the log-odds of a category, at a bounded cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifier.inference import explanation, occlusion
from classifier.inference.labeller import Labeller
from classifier.inference.occlusion import Occluder
from classifier.inference.openvino_engine import OpenVinoEngine
from classifier.model import linear
from classifier.model.ensemble import Ensemble, EnsembleWeights, MultiLabelWeights
from classifier.model.sigmoid import logit
from classifier.model.text_chunking import Chunking
from classifier.model.words import find_words
from classifier.pipeline.labelling.classification import TextClassifier
from classifier.pipeline.labelling.explanation import explain_text
from tests.support.tiny_models import CATEGORIES, make_artefact, make_lexicon_artefact

LEXICON = {"business": ("bank", "shares"), "sport": ("goal", "match"), "tech": ("chip", "phone")}
TEXT = "The team won; the goal was the team's, the bank said. The team, the team, the market."


class CountingEngine:
    """The engine of a model, which counts the rows that are computed."""

    def __init__(self, engine):
        self.engine, self.rows = engine, 0

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def probabilities(self, tokens, mask):
        self.rows += int((mask.sum(axis=1) > 1).sum())
        return self.engine.probabilities(tokens, mask)


def open_labeller(files, **changes):
    model = replace(files.load(), **changes)
    return Labeller.of(model, CountingEngine(OpenVinoEngine(model.checkpoint, kind=model.kind)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def lexicon(folder):
    return make_lexicon_artefact(folder / "lexicon", LEXICON)


@pytest.fixture(scope="module")
def long_lexicon(folder):
    return make_lexicon_artefact(folder / "long", LEXICON, positions=512)


def fit(kind="linear"):
    words = [*LEXICON["business"], *LEXICON["sport"], *LEXICON["tech"]]
    texts = [f"the {word} of the team {number}" for number in range(8) for word in words]
    return linear.fit_linear(texts, [name for _ in range(8) for name, two in LEXICON.items() for _ in two], kind)


def explain(labeller, text, categories=None, **options):
    """Explain categories by their names; by default, the most probable one."""
    occluder = Occluder.of(labeller, text)
    names = [labeller.categories[occluder.probabilities.argmax()]] if categories is None else categories
    return explanation.explain(occluder, [(labeller.categories.index(name),) for name in names], **options)


def ranked(explained, text, *, reverse=True):
    words = sorted(explained.words(), key=lambda word: word.contribution, reverse=reverse)
    return [text[word.start : word.end].lower() for word in words]


def test_the_word_that_carries_the_category_is_first_and_another_categorys_is_last(lexicon):
    (explained,) = explain(open_labeller(lexicon), TEXT, ["sport"])
    assert ranked(explained, TEXT)[0] == "goal"
    assert ranked(explained, TEXT)[-1] == "bank"
    assert explained.words()[0].contribution != 0
    assert explained.linear is None
    assert explained.is_read.all()


def test_the_probabilities_are_those_of_labelling_and_the_log_odds_theirs(lexicon):
    labeller = open_labeller(lexicon, calibration={"temperature": {"value": 1.7}})
    probabilities = labeller.probabilities([TEXT])[0]
    np.testing.assert_array_equal(Occluder.of(labeller, TEXT).probabilities, probabilities)
    (explained,) = explain(labeller, TEXT, ["sport"])
    others = probabilities.sum(dtype=np.float64) - probabilities[1]
    assert explained.log_odds == pytest.approx(np.log(probabilities[1] / others), rel=1e-4)


def test_a_words_figure_is_the_fall_of_the_log_odds_if_its_pieces_are_masked(folder):
    """A network with random weights, compared with the labeller's own answer to the masked text."""
    labeller = open_labeller(make_artefact(folder / "random"), calibration={"temperature": {"value": 0.8}})
    text = "the software of the bank"  # software is two pieces, and [MASK] in a text is the mask's piece
    (explained,) = explain(labeller, text, ["tech"])
    masked = ["[MASK]" if n != 1 else "[MASK] [MASK]" for n in range(5)]
    words = text.split()
    without = [" ".join([*words[:n], masked[n], *words[n + 1 :]]) for n in range(5)]
    before, *after = occlusion.log_odds(labeller.probabilities([text, *without]), [(2,)], "single")[:, 0]
    np.testing.assert_allclose(explained.network, before - np.array(after), rtol=0, atol=1e-6)


def test_the_complete_text_is_computed_once_for_its_label_and_its_explanation(lexicon):
    opened = TextClassifier("m1", None, open_labeller(lexicon), present_names=("leisure", "leisure", "tech"))
    explained = explain_text(opened, TEXT)
    assert opened.labeller.engine.rows == explained.runs + 1
    assert explained.result == next(opened.classify([TEXT]))
    assert explained.categories[0].probability == explained.result.confidence


def test_log_odds_are_exact_where_the_probability_rounds_to_one():
    certain = np.array([[1.0, 1e-12, 2e-12]], dtype=np.float32)
    assert occlusion.log_odds(certain, [(0,)], "single")[0, 0] == pytest.approx(-np.log(3e-12), rel=1e-6)


@pytest.mark.parametrize("text", ["", " \n ", "\x00"])
def test_a_text_without_words_has_no_figures(lexicon, text):
    (explained,) = explain(open_labeller(lexicon), text)
    assert not np.any(explained.network)
    assert explained.runs <= 1


def test_words_that_the_model_does_not_know_say_nothing_for_any_category(lexicon):
    (explained,) = explain(open_labeller(lexicon), "quux zzz blah", ["sport"])
    assert np.abs(explained.network).max() < 1e-4
    assert explained.runs == 3


@pytest.mark.parametrize("max_runs", [64, 256])
def test_a_text_of_a_megabyte_costs_a_bounded_number_of_runs_and_its_word_is_found(long_lexicon, max_runs):
    words = ["the team"] * 200
    words[130] = "goal"
    text = " ".join([*words, "the bank"] * 700) + " bank" * 90_000
    assert len(text) > 1_000_000
    labeller = open_labeller(long_lexicon)
    (explained,) = explain(labeller, text, ["sport"], max_runs=max_runs)
    assert explained.runs <= max_runs
    assert labeller.engine.rows == explained.runs + 1
    assert explained.is_read.sum() == 510
    assert not np.any(explained.network[~explained.is_read])
    goal = 2 * 130
    assert explained.is_shared[goal] == (max_runs == 64)
    assert explained.network[goal] == explained.network.max() > 0
    assert np.abs(explained.network[~explained.is_read]).max() == 0


def test_with_a_limit_of_time_a_slow_machine_examines_fewer_blocks_and_a_fast_one_all_words(long_lexicon, monkeypatch):
    text = " ".join(["the team"] * 100 + ["goal"])
    labeller = open_labeller(long_lexicon)
    (fast,) = explain(labeller, text, ["sport"], max_seconds=1e9)
    assert fast.runs == 201
    assert not fast.is_shared.any()
    clock = iter(range(0, 10_000, 100))  # a batch takes 100 s
    monkeypatch.setattr(occlusion.time, "perf_counter", lambda: next(clock))
    (slow,) = explain(labeller, text, ["sport"], max_seconds=1.0)
    assert slow.runs == occlusion.MIN_RUNS
    assert slow.network.argmax() >= 201 - 201 // 16 - 1
    assert slow.is_shared.all()


def test_in_chunks_only_those_with_the_word_are_computed_again(folder):
    files = make_lexicon_artefact(folder / "chunks", LEXICON, positions=32, chunking=Chunking(20, 8))
    text = " ".join(["the"] * 70 + ["goal"] + ["the"] * 60)
    labeller = open_labeller(files)
    (explained,) = explain(labeller, text, ["sport"])
    assert explained.network.argmax() == 70
    assert explained.is_read.all()
    assert explained.runs == 131
    assert labeller.engine.rows < 2 * 131 + 8
    np.testing.assert_array_equal(Occluder.of(labeller, text).probabilities, labeller.probabilities([text])[0])


def test_a_slow_machine_examines_fewer_words_that_are_in_several_chunks(folder, monkeypatch):
    files = make_lexicon_artefact(folder / "overlapping", LEXICON, positions=32, chunking=Chunking(8, 40))
    text = " ".join(["the"] * 200)
    occluder = Occluder.of(open_labeller(files), text)
    cost = sum((words >= 0).sum() for words in occluder.words) / 200
    assert cost > 3, "a word is in about four chunks"
    rows = occluder.labeller.sizes.rows(max(map(len, occluder.pieces)))
    clock = iter(np.arange(0.0, 1e9, float(rows)))  # a chunk takes 1 s
    monkeypatch.setattr(occlusion.time, "perf_counter", lambda: next(clock))
    assert occluder.runs_within(400.0, 1000) == int(400 / cost)


def test_a_piece_whose_span_begins_with_a_space_belongs_to_the_word_after_it():
    """As of SentencePiece's and byte-level tokenizers."""
    text = "the goal, of"
    spans = np.array([(0, 0), (0, 3), (3, 6), (6, 8), (8, 9), (9, 10), (10, 12), (0, 0)])
    words = find_words(text)
    assert [text[start:end] for start, end in words] == ["the", "goal", ",", "of"]
    assert occlusion._words_of(spans, words).tolist() == [-1, 0, 1, 1, 2, -1, 3, -1]
    assert occlusion._words_of(np.array([(12, 13), (3, 4)]), words).tolist() == [-1, -1]


class TestEnsemble:
    @pytest.fixture(params=linear.KINDS)
    def labeller(self, lexicon, request):
        members = Ensemble(fit(request.param), EnsembleWeights(0.7, 3.0))
        return open_labeller(lexicon, ensemble=members, calibration={"temperature": {"value": 1.3}})

    def test_the_linear_part_is_exact(self, labeller):
        probabilities, scores = labeller.probabilities([TEXT])[0], labeller.ensemble.linear.scores([TEXT])[0]
        for column, explained in enumerate(explain(labeller, TEXT, CATEGORIES)):
            others = np.delete(probabilities.astype(np.float64), column)
            margin = scores[column] - np.delete(scores, column) @ (others / others.sum())
            assert explained.linear.sum() + explained.constant == pytest.approx(3.0 / 1.3 * margin, abs=1e-9)

    def test_the_networks_part_is_measured_with_the_scores_of_the_complete_text(self, labeller):
        (explained,) = explain(labeller, TEXT, ["sport"])
        alone = replace(labeller, ensemble=Ensemble(labeller.ensemble.linear, EnsembleWeights(0.7, 0.0)))
        (network,) = explain(alone, TEXT, ["sport"])
        assert explained.network.argmax() == network.network.argmax()
        assert not np.any(network.linear)
        np.testing.assert_allclose(explained.contributions, explained.network + explained.linear)

    def test_with_two_categories_both_parts_are_shares_of_the_same_log_odds(self, folder):
        two = {"business": ("bank",), "sport": ("goal",)}
        texts = [f"the {word} of {number}" for number in range(12) for word in ("bank", "goal")]
        members = Ensemble(linear.fit_linear(texts, ["business", "sport"] * 12), EnsembleWeights(0.5, 2.0))
        labeller = open_labeller(make_lexicon_artefact(folder / "two", two), ensemble=members)
        network = replace(labeller, ensemble=None).probabilities([TEXT])
        (explained,) = explain(labeller, TEXT, ["sport"])
        of_network = 0.5 * occlusion.log_odds(network, [(1,)], "single")[0, 0]
        assert explained.log_odds == pytest.approx(of_network + explained.linear.sum() + explained.constant, abs=1e-4)


class TestMultiLabel:
    def test_each_label_has_its_own_words_for_the_same_runs(self, folder):
        labeller = open_labeller(make_lexicon_artefact(folder / "multi", LEXICON, kind="multi"))
        business, sport = explain(labeller, TEXT, ["business", "sport"])
        assert (ranked(business, TEXT)[0], ranked(sport, TEXT)[0]) == ("bank", "goal")
        assert business.runs == sport.runs == len(business.spans)

    def test_the_linear_part_is_exact(self, folder):
        rows = [[name] for _ in range(8) for name, two in LEXICON.items() for _ in two]
        texts = [f"the {word} {n}" for n in range(8) for two in LEXICON.values() for word in two]
        fitted = linear.fit_linear_multi(texts, rows, CATEGORIES)
        members = Ensemble(fitted, MultiLabelWeights(0.6, 2.0, -0.4))
        files = make_lexicon_artefact(folder / "multi-ensemble", LEXICON, kind="multi", ensemble=members)
        labeller = open_labeller(files, calibration={"temperature": {"value": 1.5}})
        network = replace(labeller, ensemble=None, temperature=1.0).probabilities([TEXT])[0]
        for column, explained in enumerate(explain(labeller, TEXT, CATEGORIES)):
            exact = (0.6 * logit(network)[column] - 0.4) / 1.5 + explained.linear.sum() + explained.constant
            assert explained.log_odds == pytest.approx(exact, abs=2e-3)


class TestMergedCategories:
    """Business and tech are one category today."""

    GROUP = (0, 2)

    def test_its_parts_are_not_its_opponents(self, lexicon):
        labeller = open_labeller(lexicon)
        (merged,) = explanation.explain(Occluder.of(labeller, TEXT), [self.GROUP])
        assert ranked(merged, TEXT)[0] == "bank"
        both = "the bank and the chip"
        (merged,) = explanation.explain(Occluder.of(labeller, both), [self.GROUP])
        figures = dict(zip(both.split(), merged.network, strict=True))
        assert figures["bank"] > 0.01
        assert figures["chip"] > 0.01, "as an opponent of business, it would speak against it"

    def test_its_log_odds_are_those_of_the_sum(self, lexicon):
        labeller = open_labeller(lexicon)
        probabilities = labeller.probabilities([TEXT])[0].astype(np.float64)
        (merged,) = explanation.explain(Occluder.of(labeller, TEXT), [self.GROUP])
        assert merged.log_odds == pytest.approx(np.log((probabilities[0] + probabilities[2]) / probabilities[1]))

    def test_the_linear_part_weights_the_parts_scores_by_their_share(self, lexicon):
        labeller = open_labeller(lexicon, ensemble=Ensemble(fit(), EnsembleWeights(0.7, 3.0)))
        probabilities, scores = labeller.probabilities([TEXT])[0], labeller.ensemble.linear.scores([TEXT])[0]
        (merged,) = explanation.explain(Occluder.of(labeller, TEXT), [self.GROUP])
        own = probabilities[[0, 2]].astype(np.float64)
        margin = scores[[0, 2]] @ (own / own.sum()) - scores[1]
        assert merged.linear.sum() + merged.constant == pytest.approx(3.0 * margin, abs=1e-9)

    def test_the_categories_below_a_parent_to_which_the_model_backs_off_are_explained_as_one(self, lexicon):
        parents = {"business": "economy", "tech": "economy", "economy": "news"}
        opened = TextClassifier("m1", 0.6, open_labeller(lexicon), parents=parents)
        explained = explain_text(opened, "the bank and the chip")
        (economy,) = explained.categories
        assert explained.result.label == economy.category == "economy"
        assert economy.probability == explained.result.confidence
        (merged,) = explanation.explain(Occluder.of(opened.labeller, "the bank and the chip"), [self.GROUP])
        assert economy.words == tuple(merged.words())
        assert explained.runner_up in {"business", "tech"}
        (business,) = explain_text(opened, "the bank and the chip", "business").categories
        assert business.probability == explained.result.candidates["business"]
        (news,) = explain_text(opened, "the bank and the goal", "news").categories
        assert news.category == "news"

    def test_a_parent_that_is_a_category_itself_is_explained_alone_unless_it_is_backed_off_to(self, lexicon):
        opened = TextClassifier("m1", 0.6, open_labeller(lexicon), parents={"business": "tech"})
        text = "the bank and the chip"
        explained = explain_text(opened, text)
        assert explained.result.label == "tech"
        assert next(iter(explained.result.candidates)) == "business"
        assert explained.categories[0].probability == explained.result.confidence > 0.6
        alone = explain_text(replace(opened, threshold=0.0), text, "tech")
        assert alone.categories[0].probability == alone.result.candidates["tech"] < 0.6

    def test_if_it_is_the_only_category_no_word_matters(self, lexicon):
        labeller = open_labeller(lexicon, ensemble=Ensemble(fit(), EnsembleWeights(0.7, 3.0)))
        (merged,) = explanation.explain(Occluder.of(labeller, TEXT), [(0, 1, 2)])
        assert np.abs(merged.contributions).max() < 1e-6

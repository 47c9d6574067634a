"""A mistake about a model (import, evaluation, promotion, rollback) is reported in one line."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
from safetensors.numpy import load_file, save_file

from classifier.pipeline.promotion import evaluation
from classifier.store import model_rows, task_rows
from tests.support.mistakes import Case, check_mistake, register
from tests.support.synthetic import add_model, articles
from tests.support.tiny_models import make_artefact, make_bert

CASES: dict[str, Case] = {}
case = partial(register, CASES)


def make_multi(env):
    """Make the task a multi-label one."""
    with env.workspace.database.begin() as connection:
        task_rows.change(connection, task_rows.current_id(connection), kind="multi", min_labels=0)


def edited_config(folder, edit):
    """Change the configuration of a model's folder."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    edit(config)
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


@case("models show: no such model", r"m9: no such model")
def _(_env):
    return "models", "show", "m9"


@case("models import: no such directory", r"\./nowhere: directory not found")
def _(_env):
    return "models", "import", "./nowhere"


@case("models import: a BERT", r"model_type is 'bert'; it must be 'distilbert' to be imported")
def _(env):
    return "models", "import", make_bert(env.folder / "bert")


@case("models import: an encoder without a head", r"architecture is 'DistilBertModel'; it must be .*train --encoder")
def _(env):
    return "models", "import", env.encoder()


@case(
    "models import: categories without names",
    r"3 categories have only the default names LABEL_0 and so on; .*--categories",
)
def _(env):
    folder = env.model()
    config = folder / "config.json"
    config.write_text(re.sub(r'"(\d)": "\w+"', r'"\1": "LABEL_\1"', config.read_text()))
    return "models", "import", folder


@case(
    "models import: too few names", r"error: --categories: 2 names, but the model has 3 outputs; name each output once"
)
def _(env):
    return "models", "import", env.model(), "--categories", "a,b"


@case(
    "models import: too few names in the configuration",
    r"id2label of config\.json: 2 names, but the model has 3 outputs",
)
def _(env):
    return "models", "import", edited_config(env.model(), lambda config: config["id2label"].pop("2"))


@case("models import: a name with NUL", r"category 'spo\\x00rt' has the control character U\+0000; name the categories")
def _(env):
    return "models", "import", edited_config(env.model(), lambda config: config["id2label"].update({"1": "spo\0rt"}))


@case("models import: a name that is no string", r"id2label of config\.json has a name that is not a string")
def _(env):
    return "models", "import", edited_config(env.model(), lambda config: config["id2label"].update({"1": None}))


@case(
    "models import: one output", r"the model has one output; a classifier must have an output for each of its categor"
)
def _(env):
    folder = edited_config(env.model(), lambda config: config.update(id2label={"0": "news"}))
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name][:1].copy()
    save_file(weights, folder / "model.safetensors")
    return "models", "import", folder


@case("models import: pickled weights", r"pickled \(pytorch_model\.bin\), and unpickling runs code in the file")
def _(env):
    folder = env.model()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return "models", "import", folder


@case("models import: no tokenizer", r"tokenizer\.json not found")
def _(env):
    folder = env.model()
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink()
    return "models", "import", folder


@case(
    "models import: a multi-label model in a single-label task",
    r"problem_type is 'multi_label_classification'; a text must have one category; import it into a multi-label task",
)
def _(env):
    return "models", "import", make_artefact(env.folder / "multi", kind="multi").directory


@case(
    "models import: a single-label model in a multi-label task",
    r"is 'single_label_classification'; in a multi-label task it must be 'multi_label_classification'; set it if",
)
def _(env):
    make_multi(env)
    return "models", "import", make_artefact(env.folder / "single").directory


@case("evaluate: no model yet", r"no model yet; run: classifier train")
def _(env):
    return ("evaluate",)


@case("evaluate: no such model", r"m9: no such model; see: classifier models")
def _(env):
    return "evaluate", "m9"


@case("evaluate: no champion", r"no model has been promoted yet")
def _(env):
    return "evaluate", "champion"


@case("evaluate: nothing to test on", r"the test split has no annotated article to evaluate on")
def _(env):
    env.annotated()
    env.model()
    return ("evaluate",)


@case("evaluate: all is in the test split", r"no annotated article outside the test split")
def _(env):
    env.annotated(split="test")
    env.model()
    return ("evaluate",)


@case("evaluate: an engine of another name", r"engine 'tensorrt': unknown; choose from auto, openvino, keras")
def _(env):
    return "evaluate", "--engine", "tensorrt"


@case("evaluate: a precision in percent", r"--target-precision 99: must be at least 0 and less than 1, such as 0\.99")
def _(env):
    return "evaluate", "--target-precision", "99"


@case("evaluate: back-off without a precision", r"--back-off: chosen with a threshold; use --target-precision too")
def _(env):
    env.annotated(articles(30))
    env.annotated(articles(30, seed=1, prefix="t"), split="test")
    env.model()
    return "evaluate", "--back-off"


@case("evaluate: a threshold without validation articles", r"the validation split has no annotated article to choose a")
def _(env):
    env.annotated(articles(30))
    env.annotated(articles(30, seed=1, prefix="t"), split="test")
    env.model()
    return "evaluate", "--target-precision", "0.9"


@case("promote: no such model", r"m9: no such model")
def _(env):
    return "promote", "m9"


@case("promote: not evaluated", r"m1: not evaluated yet; run: classifier evaluate m1")
def _(env):
    env.model()
    return ("promote",)


@case("promote: a byte of the model changed", r"model\.safetensors: sha256 is .*, the manifest says")
def _(env):
    env.annotated(articles(30))
    env.annotated(articles(30, seed=1, prefix="t"), split="test")
    weights = env.model() / "model.safetensors"
    evaluation.evaluate(env.workspace)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    return ("promote",)


@case(
    "examples check: no folder", r"home/examples: folder not found; create it for files of must-pass examples, or name"
)
def _(env):
    env.champion()
    return "examples", "check"


@case("examples check: no champion", r"no model has been promoted yet; run: classifier train, evaluate, promote")
def _(env):
    (env.folder / "home" / "examples").mkdir(parents=True)
    return "examples", "check"


@case("examples check: no such model", r"m9: no such model")
def _(env):
    (env.folder / "home" / "examples").mkdir(parents=True)
    return "examples", "check", "m9"


@case("gate: a margin of examples below none", r"gate: failed_examples -1: must be a whole number from 0")
def _(env):
    env.environment["CLASSIFIER_GATE"] = '{"failed_examples": -1}'
    return ("gate",)


@case("report: not evaluated", r"m1: not evaluated yet; run: classifier evaluate m1")
def _(env):
    env.model()
    return ("report",)


@case("report: a file in a folder that is not there", r"nowhere: folder not found; choose another file with --out")
def _(env):
    env.model()
    return "report", "m1", "--out", "nowhere/x.html"


@case("gate: a policy of another name", r"gate: policy 'best': unknown; choose from non-inferior, superior")
def _(env):
    env.model()
    return "gate", "--policy", "best"


@case("gate: a margin that is not there", r"gate: unknown margin 'f1'; choose from policy, alpha")
def _(env):
    env.model()
    env.environment["CLASSIFIER_GATE"] = '{"f1": 0.1}'
    return ("gate",)


@case("gate: an unknown metric", r"gate: metric 'f1': unknown; choose from macro_f1, micro_f1")
def _(env):
    env.model()
    env.environment["CLASSIFIER_GATE"] = '{"metric": "f1"}'
    return ("gate",)


@case("gate: margins that are not JSON", r"CLASSIFIER_GATE: must be JSON")
def _(env):
    env.environment["CLASSIFIER_GATE"] = "macro_f1=0.1"
    return ("gate",)


@case("rollback: no champion", r"no model has been promoted yet")
def _(env):
    return ("rollback",)


@case("rollback: nothing before", r"no champion before m1; name a former champion, see: classifier promotions")
def _(env):
    env.champion()
    return ("rollback",)


@case("rollback: to a model that never was champion", r"m2: never was champion; run: classifier promote m2")
def _(env):
    env.champion()
    with env.workspace.database.begin() as connection:
        add_model(connection, "m2")
    return "rollback", "m2"


@case("prune: a negative number", r"keep-models -1: must be at least 0")
def _(env):
    return "prune", "--keep-models", "-1"


@case("prune: a negative number of champions", r"keep-champions -1: must be at least 0")
def _(env):
    return "prune", "--keep-models", "1", "--keep-champions", "-1"


@case("evaluate: a model that was pruned", r"m2: was pruned, its files and labels are gone; see: classifier models")
def _(env):
    with env.workspace.database.begin() as connection:
        model_rows.set_status(connection, add_model(connection, "m2"), "pruned")
    return "evaluate", "m2"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_prints_one_line_and_changes_nothing(classifier, env, name):
    check_mistake(classifier, env, CASES[name])

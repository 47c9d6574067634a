"""What the user can mend is told in one line, with exit code 2, and leaves nothing half-written.

With `CLASSIFIER_TEST_TABLE=FILE` the lines are also written to that file, as a table.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from classifier import registry
from classifier.pipeline.promotion import evaluation
from classifier.settings import Settings
from classifier.store import connections, model_rows
from classifier.workspace import Workspace
from tests.support.synthetic import COLUMNS, add_model, articles, dump, ingest_file, query, run, unlabelled, write_csv
from tests.support.tiny_models import make_artefact, make_bert, make_encoder

CASES: dict[str, Any] = {}


@dataclass
class World:
    """A migrated database and a folder, which a case fills; `environment` is the command's."""

    workspace: Workspace
    folder: Path
    environment: dict[str, str | None] = field(default_factory=dict)

    def csv(self, *rows: dict[str, str], name: str = "x.csv") -> str:
        return write_csv(self.folder / name, rows).name

    def bytes(self, content: bytes, name: str = "x.csv") -> str:
        (self.folder / name).write_bytes(content)
        return name

    def annotated(self, rows=None, split="train") -> None:
        rows = [{**row, "split": split} for row in (rows or articles(60))]
        columns = type(COLUMNS)("text", "category", "id", "split")
        ingest_file(self.workspace, self.folder / "before.csv", rows, columns)

    def model(self, *, champion: bool = False) -> Path:
        files = make_artefact(self.workspace.models / "m1")
        with self.workspace.database.begin() as connection:
            model = registry.register(connection, "m1", files, {})
            if champion:
                model_rows.make_champion(connection, model.id)
        return files.directory

    def champion(self) -> Path:
        ingest_file(self.workspace, self.folder / "before.csv", unlabelled(9))
        return self.model(champion=True)

    def database(self, **changes: Any) -> None:
        url = self.workspace.database.url.set(**changes)
        self.environment["CLASSIFIER_DATABASE_URL"] = url.render_as_string(hide_password=False)

    def label_table(
        self, *more: str, url="THEIRS", table="news", key="id", text="body", rows="(1, 'the bank'), (2, 'the goal')"
    ):
        """Make a table of somebody's, and return the arguments that label it."""
        run(self.workspace.database, "CREATE TABLE news (id int, body text)")
        run(self.workspace.database, f"INSERT INTO news VALUES {rows}")
        self.environment["THEIRS"] = self.environment["CLASSIFIER_DATABASE_URL"]
        return "label-table", "--url", url, "--table", table, "--key", key, "--text", text, *more

    def label_query(self, query: str):
        name, *options = self.label_table("--out", "found")
        options[options.index("--table")] = "--query"
        options[options.index("news")] = query
        return name, *options

    def encoder(self) -> Path:
        return make_encoder(self.folder / "encoder")


def case(name: str, line: str):
    """Register a case: what it does to the world and the arguments it returns, and the line it expects."""

    def register(function):
        CASES[name] = (function, line)
        return function

    return register


@case("ingest: a column that is not there", r"x\.csv: no column 'body'; its columns are 'id', 'text', 'category'")
def _(world):
    return "ingest", world.csv(*articles(3)), "--text", "body"


@case("ingest: no such file", r"x\.csv: no such file")
def _(world):
    return "ingest", "x.csv"


@case("ingest: a name of two lines, with what Rich takes for markup", r"no \[/red\] :key: such\.csv: no such file")
def _(_world):
    return "ingest", "no\n[/red] :key: such.csv"


@case("ingest: a glob without a match", r"in\*/\*\.csv: no such file")
def _(world):
    return "ingest", "in*/*.csv"


@case("ingest: a directory", r"is a directory; name its files")
def _(world):
    return "ingest", str(world.folder)


@case("ingest: another kind of file", r"x\.xlsx: unknown kind of file; supported are \.csv")
def _(world):
    return "ingest", world.bytes(b"PK", "x.xlsx")


@case("ingest: an empty file", r"x\.csv: the file is empty")
def _(world):
    return "ingest", world.bytes(b"")


@case("ingest: a header without rows", r"x\.csv: no rows")
def _(world):
    return "ingest", world.bytes(b"text\n")


@case("ingest: UTF-16", r"x\.csv: the file is UTF-16; save it as UTF-8")
def _(world):
    return "ingest", world.bytes("text\nthe team\n".encode("utf-16"))


@case("ingest: bytes that are not UTF-8", r"x\.csv: 5 of 5 rows are invalid, more than 5%")
def _(world):
    return "ingest", world.bytes(b"text\n" + b"caf\xe9 au lait\n" * 5)


@case("ingest: NUL characters", r"x\.csv: 3 of 3 rows are invalid")
def _(world):
    return "ingest", world.bytes(b"text\n" + b"the\0team\n" * 3)


@case("ingest: empty texts", r"x\.csv: 1 of 10 rows are invalid")
def _(world):
    return "ingest", world.csv(*articles(9), {"id": "e", "text": "  ", "category": "c"})


@case("ingest: a text of 10 MB", r"x\.csv: 1 of 1 rows are invalid")
def _(world):
    return "ingest", world.csv({"text": "ten bytes " * 1_000_000})


@case("ingest: a quote that is never closed", r"x\.csv, line 2: a quote that opens in this row is never closed")
def _(world):
    return "ingest", world.bytes(b'text\n"the team\n' + b"the bank\n" * 200)


@case("ingest: a split of another name", r"x\.csv: 2 of 2 rows are invalid")
def _(world):
    rows = [{"text": "the team", "split": "dev"}, {"text": "the bank", "split": "holdout"}]
    return "ingest", world.csv(*rows), "--split", "split"


@case("ingest: gzip that was cut off", r"x\.csv\.gz: damaged or cut off gzip data")
def _(world):
    packed = gzip.compress(b"text\n" + os.urandom(3000).hex().encode())
    return "ingest", world.bytes(packed[:-500], "x.csv.gz")


@case("ingest: two shares", r"split proportions '0\.8,0\.2': must be three numbers")
def _(world):
    return "ingest", world.csv(*articles(3)), "--proportions", "0.8,0.2"


@case("ingest: shares that do not add up", r"split proportions 0\.8, 0\.1, 0\.2: .* must add up to 1")
def _(world):
    return "ingest", world.csv(*articles(3)), "--proportions", "0.8,0.1,0.2"


@case("train: no annotated article", r"the train split has no annotated article; run: classifier ingest")
def _(world):
    ingest_file(world.workspace, world.folder / "before.csv", unlabelled(20))
    return "train", "--encoder", world.encoder()


@case("train: one category only", r"all annotated articles are of one category, 'sport'; at least two are needed")
def _(world):
    world.annotated([{**row, "category": "sport"} for row in articles(30)])
    return "train", "--encoder", world.encoder()


@case("train: two articles", r"too few annotated articles")
def _(world):
    world.annotated(articles(2))
    return "train", "--encoder", world.encoder()


@case("train: a BERT", r"model_type is 'bert'; it must be 'distilbert'\. .*classifier encoder import")
def _(world):
    world.annotated()
    return "train", "--encoder", make_bert(world.folder / "bert")


@case("train: weights that were cut short", r"model\.safetensors: cannot read safetensors")
def _(world):
    world.annotated()
    weights = world.encoder() / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return "train", "--encoder", weights.parent


@case("train: an encoder without weights", r"model\.safetensors: not found")
def _(world):
    world.annotated()
    (world.encoder() / "model.safetensors").unlink()
    return "train", "--encoder", "encoder"


@case("train: an encoder without a tokenizer", r"tokenizer\.json not found")
def _(world):
    world.annotated()
    folder = world.encoder()
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink()
    return "train", "--encoder", "encoder"


@case("train: a configuration that is not JSON", r"config\.json: not JSON")
def _(world):
    world.annotated()
    (world.encoder() / "config.json").write_text('{"model_type":')
    return "train", "--encoder", "encoder"


@case("train: no such directory", r"\./nowhere: directory not found")
def _(world):
    world.annotated()
    return "train", "--encoder", "./nowhere"


@case("train: a hub that cannot be reached", r"some-body/some-model: no local directory, and cannot be downloaded")
def _(world):
    world.annotated()
    world.environment["HF_HUB_OFFLINE"] = "1"
    return "train", "--encoder", "some-body/some-model"


@case("train: no epochs", r"epochs 0: must be a whole number, at least 1")
def _(world):
    return "train", "--set", "epochs=0"


@case("train: a learning rate of 5", r"learning_rate 5: must be a number, above 0 and below 1")
def _(world):
    return "train", "--set", "learning_rate=5"


@case("train: a dtype of another name", r"dtype 'int4': must be auto, float32, mixed_bfloat16 or mixed_float16")
def _(world):
    return "train", "--set", "dtype=int4"


@case("train: an unknown hyper-parameter", r"unknown key 'epoch'; the keys are epochs, ")
def _(_world):
    return "train", "--set", "epoch=3"


@case("train: a hyper-parameter without a value", r"'epochs': must be KEY=VALUE, such as epochs=3")
def _(_world):
    return "train", "--set", "epochs"


@case("train: no such recipe", r"recipe 'bcb': not found; give a file, or one of bbc, c50, default, few, r8")
def _(_world):
    return "train", "--recipe", "bcb"


@case("train: a recipe with an unknown key", r"my\.toml: unknown key 'epoch'; the keys are epochs, ")
def _(world):
    return "train", "--recipe", world.bytes(b"epoch = 3", "my.toml")


@case("train: a recipe with a text for a number", r"my\.toml: epochs '3': must be a whole number, at least 1")
def _(world):
    return "train", "--recipe", world.bytes(b"epochs = '3'", "my.toml")


@case("train: a recipe that is not TOML", r"my\.toml: not TOML")
def _(world):
    return "train", "--recipe", world.bytes(b"epochs: 3", "my.toml")


@case("train: a stride beyond a chunk's end", r"stride 192: must be 1 to 98, the max length without 2 special")
def _(_world):
    return "train", "--set", "long_texts=chunk", "--set", "max_length=100"


@case("tune: no trials", r"trials 0: must be at least 1")
def _(_world):
    return "tune", "--trials", 0


@case("tune: nothing to learn from", r"the train split has no annotated article; run: classifier ingest")
def _(world):
    return "tune", "--trials", 3, "--encoder", world.encoder()


@case("tune: a place where no recipe can be written", r"best\.toml: cannot write \(.+\); name another file")
def _(world):
    world.annotated()
    world.bytes(b"", "file")
    return "tune", "--trials", 3, "--encoder", world.encoder(), "--out", "file/best.toml"


@case("train: class weights of another name", r"class_weights 'some': must be none or balanced")
def _(_world):
    return "train", "--set", "class_weights=some"


@case("train: from a model that is not there", r"nobody: no such model; see: classifier models")
def _(world):
    world.annotated()
    return "train", "--from", "nobody"


@case("train: an encoder and a model to start from", r"both set; choose one of them")
def _(world):
    world.annotated()
    return "train", "--from", "m1", "--encoder", world.encoder()


@case("models show: no such model", r"nobody: no such model")
def _(_world):
    return "models", "show", "nobody"


@case("models import: no such directory", r"\./nowhere: directory not found")
def _(_world):
    return "models", "import", "./nowhere"


@case("models import: a BERT", r"model_type is 'bert'; it must be 'distilbert' to be imported")
def _(world):
    return "models", "import", make_bert(world.folder / "bert")


@case("models import: an encoder without a head", r"architecture is 'DistilBertModel'; it must be .*train --encoder")
def _(world):
    return "models", "import", world.encoder()


@case(
    "models import: categories without names",
    r"3 categories have only the default names LABEL_0 and so on; .*--categories",
)
def _(world):
    folder = world.model()
    config = folder / "config.json"
    config.write_text(re.sub(r'"(\d)": "\w+"', r'"\1": "LABEL_\1"', config.read_text()))
    return "models", "import", folder


@case("models import: too few names", r"tensor 'classifier\.weight' has shape")
def _(world):
    return "models", "import", world.model(), "--categories", "a,b"


@case("models import: pickled weights", r"pickled \(pytorch_model\.bin\), and unpickling runs code in the file")
def _(world):
    folder = world.model()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return "models", "import", folder


@case("models import: no tokenizer", r"tokenizer\.json not found")
def _(world):
    folder = world.model()
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink()
    return "models", "import", folder


@case("evaluate: no model yet", r"no model yet; run: classifier train")
def _(world):
    return ("evaluate",)


@case("evaluate: no such model", r"nobody: no such model; see: classifier models")
def _(world):
    return "evaluate", "nobody"


@case("evaluate: no champion", r"no model has been promoted yet")
def _(world):
    return "evaluate", "champion"


@case("evaluate: nothing to test on", r"the test split has no annotated article to evaluate on")
def _(world):
    world.annotated()
    world.model()
    return ("evaluate",)


@case("evaluate: all is in the test split", r"no annotated article outside the test split")
def _(world):
    world.annotated(split="test")
    world.model()
    return ("evaluate",)


@case("evaluate: an engine of another name", r"engine 'tensorrt': unknown; choose from auto, openvino, keras")
def _(world):
    return "evaluate", "--engine", "tensorrt"


@case("evaluate: a precision in percent", r"--target-precision 99: has to be at least 0 and less than 1, such as 0\.99")
def _(world):
    return "evaluate", "--target-precision", "99"


@case("evaluate: a threshold without validation articles", r"the validation split has no annotated article to choose a")
def _(world):
    world.annotated(articles(30))
    world.annotated(articles(30, seed=1, prefix="t"), split="test")
    world.model()
    return "evaluate", "--target-precision", "0.9"


@case("train: certainty is wanted", r"--target-precision 1: must be at least 0 and less than 1")
def _(world):
    return "train", "--target-precision", "1"


@case("watch: no champion", r"no model has been promoted yet")
def _(world):
    return ("drift",)


@case("watch: a champion that was not evaluated", r"m1: not evaluated yet; run: classifier evaluate m1")
def _(world):
    world.champion()
    return ("drift",)


@case("watch: a limit that is none", r"CLASSIFIER_DRIFT_MAX_DISTANCE: Input should be less than or equal to 1")
def _(world):
    world.environment["CLASSIFIER_DRIFT_MAX_DISTANCE"] = "2"
    return ("drift",)


@case("promote: no such model", r"nobody: no such model")
def _(world):
    return "promote", "--model", "nobody"


@case("promote: not evaluated", r"m1: not evaluated yet; run: classifier evaluate m1")
def _(world):
    world.model()
    return ("promote",)


@case("promote: a byte of the model changed", r"model\.safetensors: sha256 is .*, the manifest says")
def _(world):
    world.annotated(articles(30))
    world.annotated(articles(30, seed=1, prefix="t"), split="test")
    weights = world.model() / "model.safetensors"
    evaluation.evaluate(world.workspace)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    return ("promote",)


@case("report: not evaluated", r"m1: not evaluated yet; run: classifier evaluate m1")
def _(world):
    world.model()
    return ("report",)


@case("report: a file in a folder that is not there", r"nowhere: folder not found; choose another file with --out")
def _(world):
    world.model()
    return "report", "m1", "--out", "nowhere/x.html"


@case("gate: a policy of another name", r"gate: policy 'best': unknown; choose from non-inferior, superior")
def _(world):
    world.model()
    return "gate", "--policy", "best"


@case("gate: a margin that is not there", r"gate: unknown margin 'f1'; choose from policy, alpha")
def _(world):
    world.model()
    world.environment["CLASSIFIER_GATE"] = '{"f1": 0.1}'
    return ("gate",)


@case("gate: margins that are not JSON", r"CLASSIFIER_GATE: must be JSON")
def _(world):
    world.environment["CLASSIFIER_GATE"] = "macro_f1=0.1"
    return ("gate",)


@case("rollback: no champion", r"no model has been promoted yet")
def _(world):
    return ("rollback",)


@case("rollback: nothing before", r"no champion before m1; name one with --to, see: classifier promotions")
def _(world):
    world.champion()
    return ("rollback",)


@case("rollback: to a model that never was champion", r"m2: never was champion; run: classifier promote --model m2")
def _(world):
    world.champion()
    with world.workspace.database.begin() as connection:
        add_model(connection, "m2")
    return "rollback", "--to", "m2"


@case("prune: a negative number", r"keep-models -1: must be at least 0")
def _(world):
    return "prune", "--keep-models", "-1"


@case("prune: a negative number of champions", r"keep-champions -1: must be at least 0")
def _(world):
    return "prune", "--keep-models", "1", "--keep-champions", "-1"


@case("evaluate: a model that was pruned", r"m2: was pruned, its files and labels are gone; see: classifier models")
def _(world):
    with world.workspace.database.begin() as connection:
        model_rows.set_status(connection, add_model(connection, "m2"), "pruned")
    return "evaluate", "m2"


@case("label: no champion", r"no model has been promoted yet; run: classifier train, evaluate, promote")
def _(world):
    ingest_file(world.workspace, world.folder / "before.csv", unlabelled(9))
    return ("label",)


@case("label: a byte of the manifest changed", r"classifier\.json: sha256 is .*, registered as")
def _(world):
    manifest = world.champion() / "classifier.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    return ("label",)


@case("label: the model is gone", r"classifier\.json: not found; the model's directory is missing")
def _(world):
    shutil.rmtree(world.champion())
    return ("label",)


@case("label: a file of the model is gone", r"tokenizer\.json: not found; restore it from a backup")
def _(world):
    (world.champion() / "tokenizer.json").unlink()
    return ("label",)


@case("label: an engine of another name", r"engine 'x': unknown; choose from auto, openvino, keras")
def _(world):
    return "label", "--engine", "x"


@case("label-table: neither a table nor a query", r"label-table: give either --table or --query")
def _(_world):
    return "label-table", "--url", "X", "--key", "id", "--text", "body"


@case("label-table: a query without --out", r"label-table: --query needs --out, the table of the labels")
def _(_world):
    return "label-table", "--url", "X", "--key", "id", "--text", "body", "--query", "SELECT 1"


@case("label-table: no champion", r"no model has been promoted yet; run: classifier train, evaluate, promote")
def _(world):
    return world.label_table()


@case("label-table: a byte of the manifest changed", r"classifier\.json: sha256 is .*, registered as")
def _(world):
    manifest = world.champion() / "classifier.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    return world.label_table()


@case("label-table: an engine of another name", r"engine 'x': unknown; choose from auto, openvino, keras")
def _(world):
    return world.label_table("--engine", "x")


@case("label-table: a variable that is not set", r"--url: the environment has no CMS_URL; set it to the database's URL")
def _(world):
    return world.label_table(url="CMS_URL")


@case(
    "label-table: neither a URL nor a name", r"--url: must be a SQLAlchemy URL or the name of an environment variable"
)
def _(world):
    return world.label_table(url="me:secret@localhost/cms")


@case("label-table: a kind of database that there is not", r"--url: the database cannot be opened \(Can't load plugin")
def _(world):
    world.champion()
    return world.label_table(url="oracel://me:secret@localhost/cms")


@case(
    "label-table: a driver that is not installed", r"--url: the database cannot be opened \(No module named 'pymysql'"
)
def _(world):
    world.champion()
    return world.label_table(url="mysql+pymysql://me:secret@localhost/cms")


@case("label-table: a port that is no number", r"--url: the database cannot be opened \(the port is not a number\)")
def _(world):
    world.champion()
    return world.label_table(url="postgresql://me:secret@localhost:port/cms")


@case(
    "label-table: down",
    r"postgresql\+psycopg2://me:\*\*\*@127\.0\.0\.1:1/cms: the database does not answer \(.*refused",
)
def _(world):
    world.champion()
    return world.label_table(url="postgresql://me:secret@127.0.0.1:1/cms?application_name=secret")


@case("label-table: a folder that is not there", r"sqlite:////nowhere/cms\.db: the database does not answer")
def _(world):
    world.champion()
    return world.label_table(url="sqlite:////nowhere/cms.db")


@case("label-table: no such table", r"table 'nwes': not found; is 'news' meant\?")
def _(world):
    world.champion()
    return world.label_table(table="nwes")


@case("label-table: no such schema", r"table 'press\.news': not found")
def _(world):
    world.champion()
    return world.label_table(table="press.news")


@case("label-table: no such key", r"table 'news': column 'nr' not found; choose from 'id', 'body'")
def _(world):
    world.champion()
    return world.label_table(key="nr")


@case("label-table: no such text", r"table 'news': column 'text' not found; choose from 'id', 'body'")
def _(world):
    world.champion()
    return world.label_table(text="text")


@case("label-table: a key that comes twice", r"table 'news': column 'id' has the same value twice; a key must be uniq")
def _(world):
    world.champion()
    return world.label_table(rows="(1, 'the bank'), (1, 'the goal')")


@case("label-table: a key that is null", r"table 'news': column 'id' has nulls; a key must be unique and never null")
def _(world):
    world.champion()
    return world.label_table(rows="(1, 'the bank'), (NULL, 'the goal')")


@case("label-table: a key of a label's name", r"table 'news': the key 'model' has the name of a column of the labels")
def _(world):
    world.champion()
    return world.label_table(key="model")


@case("label-table: a text that is a number", r"table 'news': column 'id' holds INTEGER; it must hold text")
def _(world):
    world.champion()
    return world.label_table(text="id")


@case(
    "label-table: labels of another form",
    r"table 'old': not a table of labels, column 'model', .* not found; name another with --out",
)
def _(world):
    world.champion()
    run(world.workspace.database, "CREATE TABLE old (id int, category text)")
    return world.label_table("--out", "old")


@case("label-table: labels without a primary key", r"table 'old': not a table of labels, 'id' must be its primary key")
def _(world):
    world.champion()
    columns = "id int, model text, category text, confidence real, probabilities jsonb"
    run(
        world.workspace.database,
        f"CREATE TABLE old ({columns}, text_hash text, labelled_at timestamptz, error text)",
    )
    return world.label_table("--out", "old")


@case("label-table: labels into the table itself", r"--out public\.news: is the table to label")
def _(world):
    world.champion()
    return world.label_table("--out", "public.news")


@case("label-table: a query that is none", r"the query: syntax error at or near")
def _(world):
    world.champion()
    return world.label_query("SELEKT id")


@case("label-table: a query without the text", r"the query: column source\.body does not exist")
def _(world):
    world.champion()
    return world.label_query("SELECT id FROM news")


@case("label-table: a query that writes", r"the query: cannot execute nextval\(\) in a read-only transaction")
def _(world):
    world.champion()
    run(world.workspace.database, "CREATE SEQUENCE counter")
    return world.label_query("SELECT nextval('counter') AS id, body FROM news")


@case("review fill: no champion", r"no model has been promoted yet")
def _(_world):
    return "review", "fill"


@case("review export: nothing waits", r"nothing waits for review; run: classifier review fill")
def _(world):
    world.champion()
    return "review", "export", "x.csv"


@case("review export: a file that is there", r"x\.csv: exists already, and may hold answers")
def _(world):
    return "review", "export", world.csv(*articles(1))


@case("review import: no such file", r"x\.csv: .*[Nn]o such file")
def _(_world):
    return "review", "import", "x.csv"


@case(
    "review import: another kind of CSV",
    r"x\.csv: the column 'revision' must be there exactly once; its columns are 'id'",
)
def _(world):
    return "review", "import", world.csv(*articles(3))


@case("review decide: what nobody has annotated", r"article 7: no person has annotated it; see: classifier review")
def _(_world):
    return "review", "decide", "7", "sport", "--annotator", "ann"


@case("database: down", r"the database does not answer \(.*Connection refused")
def _(world):
    world.environment["CLASSIFIER_DATABASE_URL"] = "postgresql+psycopg2://me:secret@127.0.0.1:1/articles"
    return ("status",)


@case("database: no such one", r"the database refuses the connection \(.*database \"nowhere\" does not exist")
def _(world):
    world.database(database="nowhere")
    return ("status",)


@case("database: without tables", r"no tables of the classifier; it must have \d{4}; run: classifier db upgrade")
def _(world):
    world.database(database="template1")
    return ("label",)


@case("database: of a newer version", r"the database has version 9999, which is newer than this code; update the code")
def _(world):
    run(world.workspace.database, "UPDATE alembic_version SET version_num = '9999'")
    return "db", "upgrade"


@case("database: not a URL", r"CLASSIFIER_DATABASE_URL: not a URL; use postgresql\+psycopg2://")
def _(world):
    world.environment["CLASSIFIER_DATABASE_URL"] = "localhost"
    return ("status",)


@case("database: another driver", r"CLASSIFIER_DATABASE_URL: driver 'mysql'; use postgresql\+psycopg2://")
def _(world):
    world.environment["CLASSIFIER_DATABASE_URL"] = "mysql://me:secret@localhost/articles"
    return ("status",)


@case("database: a port that is no number", r"CLASSIFIER_DATABASE_URL: the port is not a number")
def _(world):
    world.environment["CLASSIFIER_DATABASE_URL"] = "postgresql+psycopg2://me:secret@localhost:port/articles"
    return ("status",)


@case("database: an @ in the password", r"DATABASE_URL: has more than one @; write %40")
def _(world):
    world.environment["CLASSIFIER_DATABASE_URL"] = "postgresql+psycopg2://me:sec@ret@localhost/articles"
    return ("status",)


@case("database: an option that there is not", r"CLASSIFIER_DATABASE_URL: invalid dsn: .*\"sslmod\"")
def _(world):
    world.environment["CLASSIFIER_DATABASE_URL"] = "postgresql+psycopg2://me:secret@localhost/articles?sslmod=on"
    return ("status",)


@case("settings: a timeout that is no number", r"CLASSIFIER_STATEMENT_TIMEOUT_S: Input should be a valid number")
def _(world):
    world.environment["CLASSIFIER_STATEMENT_TIMEOUT_S"] = "long"
    return ("status",)


@case("settings: a home that is a file", r"home/postgres: the embedded Postgres does not start")
def _(world):
    world.bytes(b"", "file")
    world.environment |= {"CLASSIFIER_HOME": "file/home", "CLASSIFIER_DATABASE_URL": None}
    return ("status",)


@case("encoder import: a target that is there", r"encoder: already exists; choose another directory")
def _(world):
    return "encoder", "import", make_bert(world.folder / "bert"), world.encoder()


@case("encoder import: a source that is not there", r"nowhere/config\.json: not found")
def _(world):
    return "encoder", "import", "nowhere", "target"


@case("encoder import: another hash", r"model\.safetensors: sha256 is .*, expected 00; download the file again")
def _(world):
    return "encoder", "import", make_bert(world.folder / "bert"), "target", "--sha256", "00"


REFUSED = {name for name, (_, line) in CASES.items() if "rows are invalid" in line}
"""Their bad rows are kept, with the reasons."""


@pytest.fixture(scope="module")
def table():
    lines: list[tuple[str, str]] = []
    yield lines
    if path := os.environ.get("CLASSIFIER_TEST_TABLE"):
        rows = (f"| {name} | `{line.replace('|', chr(92) + '|')}` |\n" for name, line in lines)
        Path(path).write_text("| mistake | line |\n| --- | --- |\n" + "".join(rows), encoding="utf-8")


@pytest.fixture
def world(database_url, tmp_path):
    url = database_url.render_as_string(hide_password=False)
    engine = connections.connect(url)
    workspace = Workspace(engine, Settings(home=tmp_path / "home", _env_file=None))
    yield World(workspace, tmp_path, {"CLASSIFIER_DATABASE_URL": url})
    engine.dispose()


def tables_of(database):
    return query(database, "SELECT schemaname, tablename FROM pg_tables ORDER BY 1, 2")


def files_under(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(classifier, world, table, tmp_path, name):
    prepare, expected = CASES[name]
    arguments = prepare(world)
    every = (
        "articles",
        "splits",
        "annotations",
        "labelling_queue",
        "predictions",
        "models",
        "evaluations",
        "promotions",
        "drift_runs",
    )
    before, files = dump(world.workspace.database, *every, "rejected_rows"), files_under(tmp_path)
    tables = tables_of(world.workspace.database)

    done = classifier(*arguments, **world.environment)

    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done.stderr
    assert re.match(r"error: \S", lines[0])
    assert re.search(expected, lines[0]), lines[0]
    assert "secret" not in lines[0]
    table.append((name, lines[0].replace(str(tmp_path), "…")))
    after = dump(world.workspace.database, *every, "rejected_rows")
    if name in REFUSED:
        assert len(after.pop("rejected_rows")) > len(before.pop("rejected_rows"))
    assert after == before
    assert tables_of(world.workspace.database) == tables
    assert files_under(tmp_path) == files


def test_the_secret_of_an_address_is_not_told(classifier):
    done = classifier("status", CLASSIFIER_DATABASE_URL="postgresql+psycopg2://me:secret@127.0.0.1:1/articles")
    assert "me:***@127.0.0.1" in done.stderr
    assert "secret" not in done.stderr


def test_a_bug_keeps_its_traceback(classifier, world):
    """What the user cannot mend is not dressed up as a mistake: here a table that has gone."""
    run(
        world.workspace.database,
        "ALTER TABLE labelling_queue RENAME TO away; CREATE VIEW labelling_queue AS SELECT 1 / 0 AS priority",
    )
    done = classifier("status", **world.environment)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("label", "--help"), ("label-table", "--help"), ("db", "--help"), ("encoder", "import", "--help")],
)
def test_help_needs_no_database(classifier, arguments):
    done = classifier(*arguments, CLASSIFIER_DATABASE_URL="nonsense")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout

"""All settings. No other module reads the environment.

An environment variable `CLASSIFIER_NAME` sets the setting `name`, or a line of that name in the file `.env` of the
working directory. The variable overrides the file. `CLASSIFIER__INSTANCE__NAME` sets it for one of several instances.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableError

from classifier.exceptions import SettingsError

_PREFIX = "CLASSIFIER_"

_JSON_EXAMPLES = {"gate": '{"macro_f1": 0.02}', "gpu_pod": '{"gpus": 1}'}


class Toleration(BaseModel):
    """A toleration of a taint, with the fields of Kubernetes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class GpuPod(BaseModel):
    """How the pod of a task that needs a GPU differs from the pod template, with the fields of Kubernetes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str | None = Field(None, description="Container image with CUDA. Default: the image of the pod template.")
    gpu: str = Field("nvidia.com/gpu", description="Name of the GPU resource of the cluster's device plugin.")
    gpus: int = Field(1, ge=1, description="Number of GPUs of a training.")
    requests: dict[str, str] = Field(
        {}, description="Requested processors and memory. Default: those of the pod template."
    )
    limits: dict[str, str] = Field(
        {}, description="Limits of processors and memory; the GPU is added. Default: those of the pod template."
    )
    node_selector: dict[str, str] = Field({}, validation_alias=AliasChoices("nodeSelector", "node_selector"))
    tolerations: tuple[Toleration, ...] = ()


class Settings(BaseSettings):
    """Locations, and options that apply to every command."""

    model_config = SettingsConfigDict(
        env_prefix="CLASSIFIER_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(
        Path("var"),
        description="Directory for the project's own data, such as checkpoints, relative to the working directory.",
    )
    database_url: str | None = Field(
        None,
        repr=False,
        description="URL of the articles' database, postgresql+psycopg2://USER@HOST/DATABASE. Default: an embedded "
        "Postgres, whose data are in `home`/postgres.",
    )
    pipeline_password: SecretStr | None = Field(
        None,
        description="Password that `classifier db roles` sets for the role DATABASE_pipeline. Default: the password is "
        "not changed.",
    )
    analyst_password: SecretStr | None = Field(
        None,
        description="Password that `classifier db roles` sets for the role DATABASE_analyst. Default: the password is "
        "not changed.",
    )
    models: Path | None = Field(None, description="Directory of the models' artefacts. Default: `home`/models.")
    encoder: str = Field(
        "distilbert-base-uncased", description="Pretrained DistilBERT: an id on the Hugging Face Hub, or a directory."
    )
    inbox: str | None = Field(
        None,
        description="Directory, file or glob pattern that the DAG `ingest_articles` reads by default. Default: the DAG "
        "reads only the declared sources.",
    )
    sources: Path | None = Field(
        None, description="File that declares sources. Default: sources.toml in the working directory, if it exists."
    )
    split_key: str = Field(
        "article-classifier",
        description="Key of the hash that assigns articles to splits. Changing it affects only new articles.",
    )
    erasure_key: SecretStr | None = Field(
        None,
        description="Key of the digests that keep erased articles from being ingested again. It must stay the same "
        "after the first erasure. Default: a random key in the database.",
    )
    gate: dict[str, float | int | str] = Field(
        {},
        description='Margins of the promotion gate that differ from the defaults, as JSON: {"macro_f1": 0.02} sets '
        "0.02, that is 2 percentage points. Default: no margin differs. See classifier/evaluation/margins.py.",
    )
    examples: Path | None = Field(
        None,
        description="Folder of must-pass examples: the gate stops a candidate that fails one. Default: "
        "`home`/examples, if it exists.",
    )
    target_precision: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Precision, from 0 to 1, for which a new model's abstention threshold is chosen. 0: the model "
        "never abstains.",
    )
    back_off: bool = Field(
        False,
        description="Whether a new single-label model answers a parent of a category if only the parent reaches the "
        "threshold.",
    )
    drift_days: float = Field(7, gt=0, description="Age limit, in days, of the articles that a drift check examines.")
    drift_articles: int = Field(
        5000, ge=1, description="Maximum number of articles that a drift check examines; the newest are taken."
    )
    drift_min_articles: int = Field(
        200, ge=1, description="Number of articles below which a drift check has no result, and raises no alarm."
    )
    drift_max_distance: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Jensen-Shannon distance, from 0 to 1, above which the drift of categories, text lengths or "
        "confidence raises an alarm.",
    )
    drift_max_accuracy_loss: float = Field(
        0.03,
        gt=0,
        le=1,
        description="Loss of accuracy, as a fraction, above which a drift check raises an alarm: of accuracy estimated "
        "from confidence, or of audited accuracy compared with confidence. 0.03 is 3 percentage points.",
    )
    review_overlap: float = Field(
        0,
        ge=0,
        le=1,
        description="Share of the reviewed articles, from 0 to 1, that several people annotate, to measure how far "
        "they agree.",
    )
    review_annotators: int = Field(
        2, ge=2, description="Number of people who annotate each article of the share `CLASSIFIER_REVIEW_OVERLAP`."
    )
    checkpoint_minutes: float = Field(
        5, gt=0, description="Minutes between two checkpoints of a training, from which a killed training resumes."
    )
    checkpoint_steps: int | None = Field(
        None,
        ge=1,
        description="Steps between two additional checkpoints of a training. Default: checkpoints depend only on time.",
    )
    keep_models: int = Field(
        5,
        ge=-1,
        description="Number of retired or rejected models that the DAG `retrain_classifier` keeps, besides the "
        "champion and its last predecessors; -1 keeps all models.",
    )
    gpu_pod: GpuPod | None = Field(
        None,
        description="Differences of a training's pod from the pod template on Kubernetes, as JSON; {} requests one GPU "
        "and changes nothing else. Default: trainings use the pod template.",
    )
    page_timeout_s: float = Field(
        5, gt=0, description="Time limit, in seconds, of each database statement of the page in Airflow's UI."
    )
    statement_timeout_s: float = Field(
        300, gt=0, description="Time limit, in seconds, of each other database statement."
    )
    connection: str | None = Field(
        None,
        description="Airflow connection that names the articles' database. Default: articles; of the instance NAME, "
        "NAME_articles.",
    )
    instances: str = Field(
        "default",
        description="Names of the instances whose pages Airflow shows, separated by commas; default is the one without "
        "a name.",
    )

    @property
    def models_directory(self) -> Path:
        """The directory of the models' artefacts."""
        return (self.models or self.home / "models").expanduser().resolve()

    @property
    def examples_directory(self) -> Path:
        """The folder of must-pass examples."""
        return (self.examples or self.home / "examples").expanduser().resolve()

    @property
    def checkpoints_directory(self) -> Path:
        """The directory of checkpoints of unfinished trainings."""
        return (self.home / "checkpoints").expanduser().resolve()

    @property
    def recipes_directory(self) -> Path:
        """The directory of recipes that tuning has found."""
        return (self.home / "recipes").expanduser().resolve()

    @property
    def tokenizers_directory(self) -> Path:
        """The directory of tokenizers converted from those of encoders and imported models."""
        return (self.home / "tokenizers").expanduser().resolve()

    @property
    def postgres_directory(self) -> Path:
        """The data directory of the embedded Postgres."""
        return (self.home / "postgres").expanduser().resolve()


NOT_SHARED = ("home", "database_url", "models", "inbox", "sources", "examples", "connection")
"""What a named instance does not take over from the settings of all instances."""


def variable(name: str) -> str | None:
    """Return a variable that a declared source names, from the environment or the file `.env`."""
    return os.environ.get(name) or _read_env_file().get(name)


def unknown_variables() -> list[tuple[str, str | None]]:
    """Return the variables of the environment and `.env` that look like settings but are none, each with the nearest.

    A variable that the file of declared sources names is none of them.
    """
    settings = {f"CLASSIFIER_{name.upper()}" for name in Settings.model_fields}
    names = {*os.environ, *_read_env_file()}
    unknown = sorted(
        name
        for name in names
        if name.upper().startswith("CLASSIFIER_")
        and _of_every_instance(name.upper()) not in settings
        and not name.startswith(("CLASSIFIER_TEST_", "CLASSIFIER_BENCHMARK_"))
    )
    if not unknown:
        return []
    declared = Path(os.environ.get("CLASSIFIER_SOURCES") or "sources.toml")
    sources = declared.read_text(encoding="utf-8", errors="replace") if declared.is_file() else ""
    return [(name, _nearest(name.upper(), settings)) for name in unknown if name not in sources]


def _of_every_instance(name: str) -> str:
    """Return the variable that sets for every instance what `name` may set for one of them."""
    return re.sub(r"^CLASSIFIER__.+?__", _PREFIX, name)


def _nearest(name: str, settings: set[str]) -> str | None:
    # without the prefix, which all of them share
    instance = re.match(r"CLASSIFIER__.+?__", name)
    own = instance[0] if instance else _PREFIX
    matches = get_close_matches(name.removeprefix(own), [other.removeprefix(_PREFIX) for other in settings], n=1)
    return f"{own}{matches[0]}" if matches else None


def _read_env_file() -> dict[str, str | None]:
    """Return the variables of the file `.env`.

    Raises:
        SettingsError: the file cannot be read.
    """
    try:
        return dotenv_values(".env")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f".env: cannot read ({reason}); save it as UTF-8, readable for you") from error


def load(instance: str = "") -> Settings:
    """Return the settings from the environment and the file `.env`; for a named instance, with its own.

    An instance that sets no home has a folder in the common home. It shares no other location, no database and no file
    of sources with another instance.

    Raises:
        SettingsError: a value is invalid.
    """
    common = _load(_PREFIX)
    if not instance:
        return common
    own = _load(f"{_PREFIX}_{instance.upper()}__")
    defaults = {name: Settings.model_fields[name].default for name in NOT_SHARED} | {"home": common.home / instance}
    return common.model_copy(update={**defaults, **{name: getattr(own, name) for name in own.model_fields_set}})


def _load(prefix: str) -> Settings:
    try:
        return Settings(_env_prefix=prefix)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        if len(first["loc"]) == 1 and name.lower() in _JSON_EXAMPLES:  # the library's message names a Python type
            raise SettingsError(f"{prefix}{name}: must be JSON, such as {_JSON_EXAMPLES[name.lower()]}") from error
        inside = "".join(f" {part}:" for part in first["loc"][1:])
        raise SettingsError(f"{prefix}{name}:{inside} {first['msg']}") from error
    except UnreadableError as error:
        name = next((name for name in _JSON_EXAMPLES if f'"{name}"' in str(error)), "gate")
        raise SettingsError(f"{prefix}{name.upper()}: must be JSON, such as {_JSON_EXAMPLES[name]}") from error
    except (OSError, UnicodeDecodeError):
        _read_env_file()  # raises an error that names the file
        raise

"""Every setting, in one place: the only module that reads the environment.

Each is set by an environment variable `CLASSIFIER_NAME`, or by a line of that name in a file `.env`
of the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableError

from classifier.exceptions import SettingsError


class Toleration(BaseModel):
    """A taint of Kubernetes' nodes that is borne, in Kubernetes' own words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class GpuPod(BaseModel):
    """How the pod of a task that needs a GPU differs from other tasks' pods, in Kubernetes' own words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str | None = Field(None, description="The image with CUDA; the pod template's without one.")
    gpu: str = Field("nvidia.com/gpu", description="What the cluster's device plug-in calls a GPU.")
    gpus: int = Field(1, ge=1, description="GPUs of a training.")
    requests: dict[str, str] = Field({}, description="Processor and memory, instead of the pod template's.")
    limits: dict[str, str] = Field({}, description="The same, besides the GPU.")
    node_selector: dict[str, str] = Field({}, validation_alias=AliasChoices("nodeSelector", "node_selector"))
    tolerations: tuple[Toleration, ...] = ()


class Settings(BaseSettings):
    """Where things are, and the few choices that hold for every command."""

    model_config = SettingsConfigDict(
        env_prefix="CLASSIFIER_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(Path("var"), description="Folder of the project's own data; git ignores it.")
    database_url: str | None = Field(
        None, repr=False, description="postgresql+psycopg2://…; without one, a Postgres of the project's own in `home`."
    )
    pipeline_password: SecretStr | None = Field(None, description="What `db roles` gives the pipeline's role.")
    analyst_password: SecretStr | None = Field(None, description="What `db roles` gives the analyst's role.")
    models: Path | None = Field(None, description="Folder of the models' artefacts; `home`/models without one.")
    encoder: str = Field("distilbert-base-uncased", description="Pretrained DistilBERT: a hub id or a directory.")
    inbox: str | None = Field(None, description="What the ingest DAG reads by default: a folder, a path or a glob.")
    sources: Path | None = Field(None, description="File that declares sources; sources.toml where there is one.")
    split_key: str = Field("article-classifier", description="Key of the hash that deals articles to splits.")
    gate: dict[str, float | int | str] = Field(
        {}, description='Margins of the gate that differ, as JSON: {"macro_f1": 0.02}; see evaluation/margins.py.'
    )
    target_precision: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="What a new model's threshold is chosen for: below it, it abstains. 0: it never does.",
    )
    drift_days: float = Field(7, gt=0, description="Articles of so many days are watched.")
    drift_articles: int = Field(5000, ge=1, description="The newest so many of them.")
    drift_min_articles: int = Field(200, ge=1, description="Articles that are needed to judge.")
    drift_max_distance: float = Field(
        0.2, gt=0, le=1, description="Jensen-Shannon distance that category mix, length and confidence may have."
    )
    drift_max_accuracy_loss: float = Field(
        0.03, gt=0, le=1, description="Loss of accuracy that is borne: 0.03 is three points."
    )
    checkpoint_minutes: float = Field(5, gt=0, description="A training's state is saved every so many minutes.")
    checkpoint_steps: int | None = Field(None, ge=1, description="And every so many steps, where this is set.")
    keep_models: int = Field(
        5,
        ge=-1,
        description="Models that `retrain_classifier` keeps besides the champion and those before it; -1 keeps all.",
    )
    gpu_pod: GpuPod | None = Field(
        None,
        description="On Kubernetes, how the training's pod differs, as JSON; {} asks for one GPU and nothing else.",
    )
    page_timeout_s: float = Field(
        5, gt=0, description="Longest a statement of the page in Airflow's UI may take, in seconds."
    )
    statement_timeout_s: float = Field(300, gt=0, description="Longest a single statement may take, in seconds.")

    @property
    def models_directory(self) -> Path:
        """The folder that artefacts are written to."""
        return (self.models or self.home / "models").expanduser().resolve()

    @property
    def checkpoints_directory(self) -> Path:
        """The folder of trainings that are under way."""
        return (self.home / "checkpoints").expanduser().resolve()

    @property
    def recipes_directory(self) -> Path:
        """The folder of recipes that were found by a search."""
        return (self.home / "recipes").expanduser().resolve()

    @property
    def tokenizers_directory(self) -> Path:
        """The folder of tokenizers that were built of those of encoders and models from elsewhere."""
        return (self.home / "tokenizers").expanduser().resolve()

    @property
    def postgres_directory(self) -> Path:
        """The data folder of the embedded Postgres."""
        return (self.home / "postgres").expanduser().resolve()


def variable(name: str) -> str | None:
    """Return a variable of the environment, or of the file `.env`, that a declared source names."""
    return os.environ.get(name) or dotenv_values(".env").get(name)


def load() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a value is not of the setting's kind.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        inside = "".join(f" {part}:" for part in first["loc"][1:])
        raise SettingsError(f"CLASSIFIER_{name}:{inside} {first['msg']}") from error
    except UnreadableError as error:
        raise SettingsError('CLASSIFIER_GATE: has to be JSON, such as {"macro_f1": 0.02}') from error

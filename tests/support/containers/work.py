"""What the container test does: real articles, trainings and labellings, and the count of lost labels."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import Engine, NullPool, create_engine, text

from benchmarks.support import lost_labels
from classifier.local_airflow.rest_client import DagRun, RestClient
from tests.support import tiny_models
from tests.support.containers.engine import Containers
from tests.support.paths import DATA, ROOT
from tests.support.stack.work import Work

INBOX = "/var/lib/classifier/inbox"

_COUNT = """
import json, os
from sqlalchemy import create_engine
database = create_engine(os.environ["CLASSIFIER_DATABASE_URL"])
print("counted", json.dumps(count(database)))
"""


def real_articles() -> list[dict[str, str]]:
    """Return BBC's articles, each text once, in a fixed order that mixes the categories."""
    with (DATA / "bbc-text.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["text"]: row for row in csv.DictReader(file)}
    return sorted(rows.values(), key=lambda row: hash_of(row["text"]))


def hash_of(value: str) -> int:
    """Return a number that is the same in every process, unlike Python's own hash."""
    return sum(ord(letter) * 31**index for index, letter in enumerate(value[:40])) % 1_000_003


def make_encoder(folder: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Write a small encoder with random weights that knows the articles' most frequent words."""
    counts = Counter(word for row in rows for word in re.findall(r"[a-z]+", row["text"]))
    words = [word for word, _ in counts.most_common(4000)]
    return tiny_models.make_encoder(folder, words=words, dim=32, heads=4, hidden_dim=64)


@dataclass
class ContainerWork(Work):
    """Work on the stack in containers; `folder` is the inbox on this machine."""

    containers: Containers | None = None
    labelled_before: int = 0

    @classmethod
    def of(cls, containers: Containers, folder: Path) -> ContainerWork:
        """Return the work on a stack whose services are healthy."""
        client = RestClient(containers.variable("AIRFLOW_BASE_URL"), pause_s=5)
        client.log_in("admin", containers.variable("AIRFLOW_ADMIN_PASSWORD"))
        database = owner_engine(containers)
        return cls(None, client, database, folder, containers=containers)  # type: ignore[arg-type]

    @cached_property
    def stack_of_containers(self) -> Containers:
        """The stack's containers."""
        assert self.containers is not None
        return self.containers

    def drop(self, name: str, rows: Sequence[dict[str, str]], *, annotated: bool) -> str:
        """Put a file into the inbox, readable as the page says; return its path in the containers."""
        columns = ["category", "text"] if annotated else ["text"]
        path = self.folder / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        path.chmod(0o644)
        return f"{INBOX}/{name}"

    def ingest_file(self, path: str, **parameters: Any) -> DagRun:
        """Ingest a file of the inbox while labelling is paused; return the run when it has succeeded."""
        self.pause("label_articles")
        run = self.client.trigger("ingest_articles", {"files": path, **parameters})
        self.client.unpause("ingest_articles")
        self.succeeded(run)
        return run

    def count_lost(self) -> dict[str, int]:
        """Count missing, doubled and mixed labels, in the worker's container with its programs and files.

        A promotion fills the queue again, so a last run labels what is in it.
        """
        self.succeeded(self.begin("label_articles"))
        self.until(lambda: not self.client.unfinished("label_articles"), "the end of all labelling runs")
        script = (ROOT / "benchmarks/support/lost_labels.py").read_text(encoding="utf-8") + _COUNT
        file = self.stack_of_containers.folder / "count.py"
        file.write_text(script, encoding="utf-8")
        with self.database.begin() as connection:
            connection.execute(text("GRANT SELECT ON labellings TO articles_pipeline"))  # a restore drops it
        printed = self.stack_of_containers.shell("docker compose exec -T cpu-worker python - < count.py")
        counts: dict[str, int] = json.loads(re.findall(r"^counted (.*)$", printed, re.MULTILINE)[-1])
        return counts


def owner_engine(containers: Containers) -> Engine:
    """Return an engine for the owner of the articles; each connection asks for the container's present address."""

    def connect() -> Any:
        password = containers.variable("ARTICLES_DB_PASSWORD")
        host = containers.address("postgres")
        return psycopg2.connect(host=host, user="articles", dbname="articles", password=password, connect_timeout=10)

    return create_engine("postgresql+psycopg2://", creator=connect, poolclass=NullPool)


def note_predictions(database: Engine) -> None:
    """Make the database record each prediction, also for the pipeline's role."""
    lost_labels.note_every_prediction(database)
    with database.begin() as connection:
        connection.execute(text("ALTER FUNCTION note() SECURITY DEFINER"))


def free_loop_device(image: Path, megabytes: int) -> str | None:
    """Return a small disk with a file system for uid 50000, or None if this user may not make one."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("losetup", "mkfs.ext4", "mount"))):
        return None
    with image.open("wb") as file:
        file.truncate(megabytes * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "root_owner=50000:50000", image], check=True)
    done = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    device = done.stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", device, folder], check=False).returncode:
            subprocess.run(["losetup", "--detach", device], check=True)
            return None
        (Path(folder) / "lost+found").rmdir()  # only root could read it, and a backup would fail
        subprocess.run(["umount", folder], check=True)
    return device

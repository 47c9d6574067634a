"""Check that no label is lost, doubled or mixed when workers and Postgres are killed during labelling.

Workers run `classifier label` with a real, small model on an embedded Postgres. At random moments a worker is killed
with SIGKILL and another one is started. Once, Postgres crashes and is restarted. In the middle a second model is
promoted. At the end every article must have a label by the second model. `lost_labels.py` defines the counts `missing`,
`doubled` and `mixed`.

    python -m benchmarks.robustness.faults --out benchmarks/results/faults.json
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from benchmarks.support import common, lost_labels

COMMAND = [sys.executable, "-c", "from classifier.cli.app import main; main()", "label", "--json"]
WORDS = ("the", "team", "goal", "match", "bank", "shares", "market", "chip", "phone")

ARTICLES = """
INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split)
SELECT 'synthetic', n, text, sha256(text::bytea), sha256(text::bytea), 'train'
FROM unnest(CAST(:texts AS text[])) WITH ORDINALITY AS synthetic (text, n)
"""


@dataclass
class Drill:
    """The database, the workers, and the faults so far."""

    folder: Path
    options: argparse.Namespace
    url: str
    database: Engine
    generator: random.Random
    environment: dict[str, str]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0
    promotions: int = 0
    seconds_down: float = 0.0
    found_no_database: int = 0

    def start_worker(self) -> None:
        """Start a worker."""
        command = [*COMMAND, "--page-size", str(self.options.page), "--max-rate", str(self.options.rate)]
        out = (self.folder / "workers.log").open("ab")
        self.workers.append(
            subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=out)
        )

    def kill_worker(self) -> None:
        """Kill a random worker and start another one."""
        self.replace_ended()
        worker = self.workers.pop(self.generator.randrange(len(self.workers)))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        self.kills += 1
        self.start_worker()

    def replace_ended(self) -> None:
        """Replace the workers that ended because the database was down when they started."""
        for worker in [worker for worker in self.workers if worker.poll()]:
            if worker.returncode != 2 or self.found_no_database == self.options.workers * self.restarts:
                raise SystemExit(f"a worker failed with {worker.returncode}: {self.log()}")
            self.found_no_database += 1
            self.workers.remove(worker)
            self.start_worker()

    def restart_postgres(self) -> None:
        """Stop the server as a crash would, and restart it with a recovery."""
        from classifier import embedded_postgres

        began = time.monotonic()
        server = embedded_postgres._server(self.folder / "postgres")  # noqa: SLF001
        pid = int((self.folder / "postgres" / "postmaster.pid").read_text(encoding="ascii").split()[0])
        os.kill(pid, signal.SIGQUIT)  # an immediate shutdown: nothing more is written
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)
        time.sleep(1)
        server.ensure_postgres_running()
        self.database.dispose()
        self.restarts += 1
        self.seconds_down = round(time.monotonic() - began, 1)

    def promote(self, name: str, seed: int) -> None:
        """Make a model with random weights the champion."""
        from classifier import registry
        from classifier.store import model_rows
        from tests.support.tiny_models import make_artefact

        files = make_artefact(self.folder / "models" / name, words=WORDS, seed=seed)
        with self.database.begin() as connection:
            model = registry.register(connection, name, files, {})
            model_rows.make_champion(connection, model.id)
        self.promotions += 1

    def log(self) -> str:
        """Return the output of the workers."""
        return (self.folder / "workers.log").read_text(encoding="utf-8")


def main() -> None:
    """Label under faults, count the lost labels and report."""
    options = arguments()
    from classifier import embedded_postgres
    from classifier.store.connections import connect

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = embedded_postgres.start(folder / "postgres", "articles")["articles"]
        environment = {
            **os.environ,
            "CLASSIFIER_DATABASE_URL": url,
            "CLASSIFIER_HOME": name,
            "PYTHONPATH": str(common.ROOT),
        }
        drill = Drill(folder, options, url, connect(url), random.Random(options.seed), environment)
        fill(drill)
        began = time.monotonic()
        inject_faults(drill)
        wait_for_workers(drill)
        result = {"seconds": round(time.monotonic() - began), **verify(drill)}
        drill.database.dispose()
        embedded_postgres.leave(folder / "postgres")
    common.report([result], options.out)
    sys.exit(any(result[name] for name in ("missing", "doubled", "mixed")))


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--page", type=int, default=500, help="articles in a transaction")
    parser.add_argument("--rate", type=float, default=1000, help="limit of a worker's articles a second")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    if options.quick:
        options.rows, options.kills, options.page, options.rate = 5_000, 4, 50, 800
    return options


def fill(drill: Drill) -> None:
    """Create the tables, the first champion, and the articles, which are its backlog."""
    from classifier.store import schema

    with create_engine(drill.url).connect() as connection:
        schema.upgrade(connection)
    drill.promote("first", 1)
    texts = [" ".join(drill.generator.choices(WORDS, k=12)) + f" {n}" for n in range(drill.options.rows)]
    lost_labels.note_every_prediction(drill.database)
    with drill.database.begin() as connection:
        connection.execute(text(ARTICLES), {"texts": texts})


def inject_faults(drill: Drill) -> None:
    """Kill, restart and promote at random moments while the workers label."""
    rows = drill.options.rows
    promotion = int(0.4 * rows)
    moments = [(drill.generator.randrange(rows // 100, int(1.3 * rows)), "kill") for _ in range(drill.options.kills)]
    moments += [(promotion, "promote"), (drill.generator.randrange(rows // 2, rows), "restart")]
    for _ in range(drill.options.workers):
        drill.start_worker()
    for moment, fault in sorted(moments):
        deadline = time.monotonic() + 300
        while lost_labels.labelled(drill.database) < moment:
            if time.monotonic() > deadline:
                raise SystemExit(f"the workers have stopped labelling: {drill.log()}")
            time.sleep(0.05 * drill.generator.random())
        print(f"{lost_labels.labelled(drill.database):8,} labelled: {fault}")
        if fault == "promote":
            drill.promote("second", 2)
        elif fault == "restart":
            drill.restart_postgres()
        else:
            drill.kill_worker()


def wait_for_workers(drill: Drill) -> None:
    """Wait until all workers have ended."""
    while any(worker.poll() != 0 for worker in drill.workers):
        drill.replace_ended()
        time.sleep(0.1)


def verify(drill: Drill) -> dict[str, Any]:
    """Return the counts of faults and of lost labels."""
    return {
        "dataset": f"synthetic, {drill.options.rows:,} short rows",
        "model": "two DistilBERTs of two layers",
        "rows": drill.options.rows,
        "workers": drill.options.workers,
        "kills": drill.kills,
        "postgres_restarts": drill.restarts,
        "postgres_down_s": drill.seconds_down,
        "workers_that_found_no_database": drill.found_no_database,
        "promotions": drill.promotions - 1,
        "labelled": lost_labels.labelled(drill.database),
        **lost_labels.count(drill.database),
        "seed": drill.options.seed,
    }


if __name__ == "__main__":
    main()

"""Run the commands of pages in a shell with the real program and a real Postgres."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text

from classifier import embedded_postgres
from tests.docs import pages
from tests.support.postgres import remove_server

PROGRAM = f"""#!{sys.executable}
from classifier.cli.app import main
main()
"""
MARK = "=== command "


@dataclass(frozen=True)
class Outcome:
    command: str
    returncode: int
    output: str


class Shell:
    """A folder in which pages' commands run; the home is its `var`, as for a new user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "classifier").write_text(PROGRAM, encoding="utf-8")
        (folder / "bin" / "classifier").chmod(0o755)

    def run(self, commands: list[str], **environment: str) -> list[Outcome]:
        """Run commands in one bash, so that an `export` holds for the next; return what each did."""
        script = "".join(
            f'echo "{MARK}{number}"\n{command}\necho "{MARK}ended $?"\n' for number, command in enumerate(commands)
        )
        done = subprocess.run(
            ["bash", "-u"],
            input=script,
            cwd=self.folder,
            env=self._environment(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        parts = re.split(rf"^{MARK}\d+\n", done.stdout, flags=re.MULTILINE)[1:]
        outputs = [re.split(rf"^{MARK}ended (\d+)\n", part, flags=re.MULTILINE) for part in parts]
        return [Outcome(command, int(part[1]), part[0]) for command, part in zip(commands, outputs, strict=True)]

    def query(self, statement: str) -> list[tuple]:
        """Run a statement on the database of the home."""
        engine = create_engine(embedded_postgres.start(self.folder / "var" / "postgres", "articles")["articles"])
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(text(statement))]
        engine.dispose()
        return rows

    def close(self) -> None:
        remove_server(self.folder / "var" / "postgres")

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLASSIFIER_")}
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**inherited, "PATH": path, "PYTHONPATH": str(pages.ROOT), "COLUMNS": "200", **more}

"""Run the stack's containers with Docker Compose, by the lines of the project's own pages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifier.local_airflow.standalone import free_port
from tests.docs import pages
from tests.support.paths import ROOT

START_S = 900.0
"""Seconds until every service must be healthy, on a machine that does other work too."""


def missing() -> str | None:
    """Return why the stack cannot run in containers here, or None if it can."""
    if shutil.which("docker") is None:
        return "docker: not found; install Docker Engine with Compose v2"
    for command, problem in (
        (("docker", "info"), "the Docker Engine does not answer"),
        (("docker", "compose", "version"), "Docker Compose v2 is not installed"),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{problem}: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
    return None


def page_lines(page: str, word: str) -> list[str]:
    """Return the lines of the page's only block of shell that contains a word, without their comments."""
    (block,) = [block for block in pages.blocks(pages.read(page), "sh") if word in block.text]
    return block.text.replace("\\\n", " ").splitlines()


def copy_checkout(folder: Path, *, commit: str | None = None) -> None:
    """Copy the files that git tracks, or those of a commit, as a user with umask 077 would check them out."""
    folder.mkdir(parents=True, exist_ok=True)
    tracked = "git ls-files -z | tar -c --null --files-from=- --ignore-failed-read"
    source = f"git archive {commit}" if commit else tracked
    line = f"umask 077; set -o pipefail; ({source}) | tar -x --no-same-permissions -C '{folder}'"
    subprocess.run(["bash", "-c", line], cwd=ROOT, check=True)


class ContainersError(AssertionError):
    """A line of a page failed, or a service did not become healthy."""


@dataclass
class Containers:
    """A stack in a checkout of its own; `settings` are set in `.env`, as a user would."""

    folder: Path
    settings: Mapping[str, str]
    lines: list[str] = field(default_factory=list)
    """Every line of a page that was run, in order."""

    def run(self, lines: Iterable[str], *, timeout_s: float = 3600) -> str:
        """Run lines of a page in one shell, in the checkout; return what they printed.

        Raises:
            ContainersError: a line failed.
        """
        lines = [line for line in lines if line.strip()]
        self.lines += lines
        return self.shell("\n".join(lines), timeout_s=timeout_s)

    def shell(self, script: str, *, timeout_s: float = 600) -> str:
        """Run a script in the checkout, under umask 077; return what it printed.

        Raises:
            ContainersError: it failed.
        """
        names = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_BUILDKIT", "LANG")
        done = subprocess.run(
            ["bash", "-c", f"umask 077\nset -euo pipefail\n{script}"],
            cwd=self.folder,
            env={name: os.environ[name] for name in names if name in os.environ},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            raise ContainersError(f"{script}\nended with {done.returncode}:\n{last}")
        return done.stdout

    def configure(self) -> None:
        """Set the test's settings in `.env`."""
        file = self.folder / ".env"
        kept = [
            line for line in file.read_text(encoding="utf-8").splitlines() if line.split("=")[0] not in self.settings
        ]
        changed = [f"{name}={value}" for name, value in self.settings.items()]
        file.write_text("\n".join([*kept, *changed]) + "\n", encoding="utf-8")

    def variable(self, name: str) -> str:
        """Return a variable of `.env`; as for Compose, the last line counts."""
        lines = (self.folder / ".env").read_text(encoding="utf-8").splitlines()
        return [line.split("=", 1)[1] for line in lines if line.startswith(f"{name}=")][-1]

    def services(self) -> list[dict[str, Any]]:
        """Return what Compose knows of each container, also of those that ended."""
        printed = self.shell("docker compose ps --all --format json")
        return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]

    def wait_until_healthy(self, within_s: float = START_S) -> float:
        """Wait until every service is healthy and `init` has ended with 0; return the seconds that this took."""
        began = time.monotonic()
        while waiting := self._not_ready():
            if time.monotonic() - began > within_s:
                logs = self.shell(f"docker compose logs --tail 30 {' '.join(waiting)}")
                raise ContainersError(f"not healthy: {', '.join(waiting)}\n{logs}")
            time.sleep(1)
        return time.monotonic() - began

    def _not_ready(self) -> list[str]:
        states = {row["Service"]: (row["State"], row["Health"], row["ExitCode"]) for row in self.services()}
        ended = states.pop("init", ("", "", 1))
        if ended[0] == "exited" and ended[2] != 0:
            raise ContainersError(f"init ended with {ended[2]}\n{self.shell('docker compose logs init')}")
        waiting = [] if ended[0] == "exited" else ["init"]
        return waiting + [name for name, state in states.items() if state[1] != "healthy"]

    def container(self, service: str) -> str:
        """Return the id of a service's container."""
        return self.shell(f"docker compose ps --quiet {service}").split()[0]

    def inspect(self, service: str, template: str) -> str:
        """Return a property of a service's container."""
        return self.shell(f"docker inspect --format '{template}' {self.container(service)}").strip()

    def crash(self, service: str) -> None:
        """Kill a container's first process from outside, as the kernel does; `docker kill` would count as a stop."""
        os.kill(int(self.inspect(service, "{{.State.Pid}}")), signal.SIGKILL)

    def address(self, service: str) -> str:
        """Return the address of a service in the stack's network, which this machine reaches."""
        return self.inspect(service, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def memory_mib(self) -> dict[str, float]:
        """Return the memory that each container uses."""
        ids = self.shell("docker compose ps --quiet").split()
        printed = self.shell(f"docker stats --no-stream --format '{{{{json .}}}}' {' '.join(ids)}")
        rows = [json.loads(line) for line in printed.splitlines()]
        prefix = f"{self.settings['COMPOSE_PROJECT_NAME']}-"
        return {row["Name"].removeprefix(prefix): _mib(row["MemUsage"].split("/")[0].strip()) for row in rows}

    def remove(self) -> None:
        """Remove the containers and their volumes."""
        self.shell("docker compose --profile gpu down --volumes --timeout 10 2>&1")


def _mib(text: str) -> float:
    units = {"B": 2**-20, "KiB": 2**-10, "MiB": 1.0, "GiB": 1024.0}
    unit = next(unit for unit in ("KiB", "MiB", "GiB", "B") if text.endswith(unit))
    return float(text.removesuffix(unit)) * units[unit]


def image_size_mb(image: str) -> float:
    """Return the size of an image in megabytes."""
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", image], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1e6


def separate_settings(name: str) -> dict[str, str]:
    """Return settings that keep a stack apart from others of this machine."""
    port = free_port(0)
    image = "ARTICLE_CLASSIFIER_IMAGE"
    ready = {image: os.environ[image]} if image in os.environ else {}
    return ready | {
        "COMPOSE_PROJECT_NAME": f"container-test-{name}-{os.getpid()}",
        "AIRFLOW_PORT": str(port),
        "AIRFLOW_BASE_URL": f"http://127.0.0.1:{port}",
        "CLASSIFIER_CHECKPOINT_MINUTES": "0.05",
    }

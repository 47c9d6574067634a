#!/usr/bin/env python3
"""Write `.env` from `.env.example`, with a random value for every empty secret.

The script uses only the standard library, so that it runs on a host without the project's packages.
"""

import argparse
import base64
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SECRETS = ("_PASSWORD", "_KEY", "_SECRET")
"""Endings of the variables that get a random value."""

NO_SETTINGS: Mapping[str, str] = {}
WITHOUT_GPU = {"COMPOSE_PROFILES": "", "CPU_QUEUES": "default,gpu"}
"""Settings of a machine without a GPU: no GPU worker, and the CPU worker trains too."""


def secret_for(name: str) -> str:
    """Return a random value of 32 bytes for a variable.

    It is hexadecimal, because it is used in URLs, in a Redis configuration, and in a file that Compose interpolates.
    Only Fernet requires another form.
    """
    if name.endswith("FERNET_KEY"):
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(32)


def filled(template: str, settings: Mapping[str, str] = NO_SETTINGS) -> str:
    """Return the template with the given settings, and with a secret for each empty variable that is one.

    Other empty variables stay empty.
    """
    return "\n".join(_filled_line(line, settings) for line in template.splitlines()) + "\n"


def _filled_line(line: str, settings: Mapping[str, str]) -> str:
    name, equals, value = line.partition("=")
    if name in settings:
        return f"{name}={settings[name]}"
    is_secret = bool(equals) and not value and name.endswith(SECRETS) and not name.startswith("#")
    return line + secret_for(name) if is_secret else line


def write_private(path: Path, text: str, *, overwrite: bool) -> None:
    """Write `text` to `path`; only the owner can read the file, from the first byte.

    Raises:
        FileExistsError: the file exists and `overwrite` is false.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL)
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # otherwise, an overwritten file would keep its mode
        file.write(text)


def main() -> int:
    """Write the file and return 0; if it exists already, print one line and return 2."""
    parser = argparse.ArgumentParser(description="Write .env for docker-compose.yml, with new secrets.")
    parser.add_argument("--output", type=Path, default=ROOT / ".env", metavar="FILE", help="default: %(default)s")
    parser.add_argument(
        "--force",
        action="store_true",
        help="overwrite FILE; a stack that has been started keeps its database passwords and rejects new ones",
    )
    parser.add_argument("--no-gpu", action="store_true", help="no GPU worker: the CPU worker trains too")
    options = parser.parse_args()
    settings = WITHOUT_GPU if options.no_gpu else NO_SETTINGS
    text = filled((ROOT / ".env.example").read_text(encoding="utf-8"), settings)
    try:
        write_private(options.output, text, overwrite=options.force)
    except FileExistsError:
        sys.stderr.write(
            f"{options.output}: exists already; remove it, or pass --force to replace every secret in it\n"
        )
        return 2
    sys.stdout.write(
        f"wrote {options.output}, readable only by you\n"
        f"the UI's administrator is admin; its password: grep AIRFLOW_ADMIN_PASSWORD {options.output}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

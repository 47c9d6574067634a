#!/usr/bin/env python3
"""Write `.env` from `.env.example`, giving every empty variable a random value.

It needs nothing but Python, so that it runs on a host that has only Docker.
"""

import argparse
import base64
import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def secret_for(name: str) -> str:
    """Draw a value for the variable `name`: 32 random bytes.

    Hexadecimal, because the value stands in URLs, in a Redis configuration and in a file that Compose
    interpolates; only Fernet asks for a form of its own.
    """
    if name.endswith("FERNET_KEY"):
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(32)


def filled(template: str) -> str:
    """Give each `NAME=` line of `template` a secret and leave the other lines as they are."""
    lines = (
        line + secret_for(line[:-1]) if line.endswith("=") and not line.startswith("#") else line
        for line in template.splitlines()
    )
    return "\n".join(lines) + "\n"


def write_private(path: Path, text: str, *, overwrite: bool) -> None:
    """Write `text` to `path`, readable by its owner alone from the first byte.

    Raises:
        FileExistsError: `path` is there and `overwrite` is false.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL)
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # an overwritten file keeps its old mode otherwise
        file.write(text)


def main() -> int:
    """Write the file; return 2, with one line of explanation, if it is there already."""
    parser = argparse.ArgumentParser(description="Write .env for docker-compose.yml, with new secrets.")
    parser.add_argument("--output", type=Path, default=ROOT / ".env", metavar="FILE", help="default: %(default)s")
    parser.add_argument(
        "--force",
        action="store_true",
        help="overwrite FILE; a stack that has started keeps its old database passwords and will not accept new ones",
    )
    options = parser.parse_args()
    text = filled((ROOT / ".env.example").read_text(encoding="utf-8"))
    try:
        write_private(options.output, text, overwrite=options.force)
    except FileExistsError:
        sys.stderr.write(f"{options.output} exists: remove it or pass --force to replace every secret in it\n")
        return 2
    sys.stdout.write(
        f"wrote {options.output}, readable by you alone\n"
        f"the UI's administrator is admin; its password: grep AIRFLOW_ADMIN_PASSWORD {options.output}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Run the command `classifier` many times, each in a process forked from one that has imported it.

The imports of a command take 1.5 s, and the tests run many commands. A forked process runs the real entry point, with
real file descriptors and exit codes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    returncode: int
    stdout: str
    stderr: str


class Command:
    """Run commands in forked processes; call `close` at the end."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
        )

    def run(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> Outcome:
        out, err = folder / ".stdout", folder / ".stderr"
        request = {"arguments": arguments, "folder": str(folder), "environment": environment}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps({**request, "files": [str(out), str(err)]}) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        outcome = Outcome(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))
        out.unlink()
        err.unlink()
        return outcome

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(900)  # the limit is reached only if the server hangs
        self._server.stdout.close()


def serve() -> list[str] | None:
    """Fork for each request. Return the command's arguments in the child, and None in the server at the end."""
    for line in sys.stdin:
        request = json.loads(line)
        if os.fork() == 0:
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for descriptor, name in enumerate(request["files"], start=1):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
            return list(request["arguments"])
        _, status = os.wait()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return None


if __name__ == "__main__":
    sys.path[0] = str(ROOT)

    import classifier.pipeline.ingest.units  # noqa: F401
    import classifier.pipeline.labelling.queue  # noqa: F401
    from classifier.cli.app import main

    if (arguments := serve()) is not None:
        sys.argv = ["classifier", *arguments]
        main()

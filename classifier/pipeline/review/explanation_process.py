"""A process of its own that explains labels for a server which must stay small and responsive.

A model takes hundreds of megabytes and all cores, so the server that shows the pages does not load it. Its process
starts at the first request, keeps the champion, and ends after some minutes without a request, when the server ends, or
when a request takes too long. Requests and answers are lines of JSON on its standard input and output. Neither is
logged. The database's URL is the first line of the input, so no list of processes shows it.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Lock, Semaphore
from typing import IO, Any

import classifier
from classifier import settings
from classifier.exceptions import ExplanationError, UserError
from classifier.pipeline.review.article_explanation import ArticleRequest, Explainer
from classifier.workspace import Workspace, open_workspace

log = logging.getLogger(__name__)

IDLE_S = 600.0
"""Seconds without a request after which the process ends, and frees its memory."""

TIMEOUT_S = 90.0
"""Seconds that an answer may take, including the start of the process and the loading of the model.

A request waits as long for its turn at most.
"""

MAX_REQUESTS = 4
"""Requests that are computed or wait; further ones are refused."""

_BUSY = "other labels are being explained; try again in a minute"

_NICENESS = 5  # the server's own requests come first


class ExplanationProcess:
    """The process, as its server sees it. Several threads may ask; one request is computed after the other.

    It has the settings of an instance.
    """

    def __init__(
        self, database_url: Callable[[], str | None], *, instance: str = "", timeout_s: float = TIMEOUT_S
    ) -> None:
        self._database_url = database_url
        self._instance = instance
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._places = Lock(), Semaphore(MAX_REQUESTS)
        self._requests = 0

    def ask(self, request: ArticleRequest) -> dict[str, Any]:
        """Return the answer of `Explainer.explain`.

        Raises:
            ExplanationError: too many requests wait, the answer takes too long, or the label cannot be explained.
        """
        if not self._places.acquire(blocking=False):
            raise ExplanationError(_BUSY)
        try:
            if not self._lock.acquire(timeout=self._timeout_s):
                raise ExplanationError(_BUSY)
            try:
                answer = self._ask(request)
            finally:
                self._lock.release()
        finally:
            self._places.release()
        if "error" in answer:
            raise ExplanationError(str(answer["error"]))
        return answer

    def close(self) -> None:
        """End the process, if it runs."""
        with self._lock:
            self._end()

    def _ask(self, request: ArticleRequest) -> dict[str, Any]:
        """Return the answer. After any error the process is ended, or the next request would get this one's answer."""
        try:
            return self._exchange(request)
        except TimeoutError as error:
            self._end()
            raise ExplanationError(f"explaining took longer than {self._timeout_s:.0f} s and was stopped") from error
        except OSError as error:
            self._end()
            raise ExplanationError("the process that explains labels ended; try again") from error
        except BaseException:
            self._end()
            raise

    def _exchange(self, request: ArticleRequest) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout_s
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        self._requests += 1
        process.stdin.write(json.dumps({"id": self._requests, "request": asdict(request)}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(_read_line(process.stdout.fileno(), deadline))
        if answer.pop("id") != self._requests:
            raise BrokenPipeError
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        """Return the process; start it if it does not run."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        first_line = json.dumps({"database_url": self._database_url(), "instance": self._instance})
        folder = str(Path(classifier.__file__).resolve().parents[1])
        paths = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(first_line.encode() + b"\n")
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _read_line(descriptor: int, deadline: float) -> bytes:
    """Return a line of a pipe.

    Raises:
        TimeoutError: it is not complete at the deadline, a time of `time.monotonic`.
        OSError: the pipe was closed before.
    """
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        if not _is_readable(descriptor, max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        part = os.read(descriptor, 65_536)
        if not part:
            raise BrokenPipeError
        parts.append(part)
    return b"".join(parts)


def _is_readable(pipe: IO[bytes] | int, timeout_s: float) -> bool:
    """Wait until a pipe has something to read or was closed; return whether that happened in time."""
    with selectors.PollSelector() as selector:  # unlike select(), it takes descriptors of 1,024 and more
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))


def serve(requests: IO[bytes], answers: IO[bytes], *, idle_s: float = IDLE_S) -> None:
    """Answer requests until there is none for some time, or the server has ended; `requests` is not buffered."""
    workspace: Workspace | None = None
    explainer = Explainer()
    first = json.loads(requests.readline())
    while _is_readable(requests, idle_s) and (line := requests.readline()):
        content = json.loads(line)
        try:
            workspace = workspace or _open(first["database_url"], first.get("instance", ""))
            answer = explainer.explain(workspace, ArticleRequest(**content["request"]))
        except UserError as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - its message may quote the article's text
            log.error("cannot explain a label: %s", type(error).__name__)  # noqa: TRY400 - nor may its traceback
            answer = {"error": f"the label cannot be explained ({type(error).__name__})"}
        answers.write(json.dumps({"id": content["id"], **answer}).encode() + b"\n")
        answers.flush()


def _open(url: str | None, instance: str) -> Workspace:
    configured = settings.load(instance)
    short = configured.model_copy(update={"statement_timeout_s": configured.page_timeout_s})
    return open_workspace(short, database_url=url, max_connections=2)


def main() -> None:
    """Serve standard input; whatever libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; this one ends with its server
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.nice(_NICENESS)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with os.fdopen(os.dup(0), "rb", buffering=0) as requests:
        serve(requests, answers)


if __name__ == "__main__":
    main()

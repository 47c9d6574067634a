"""Runs the commands of a page without any change: one bash for a page, with the real program and a real Postgres."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.docs import pages
from tests.docs.shell import Outcome, Shell


def steps(text_of_page: str) -> list[tuple[str, list[str]]]:
    """Return each command of a page's console blocks, with the lines of output that the page shows after it."""
    commands: list[tuple[str, list[str]]] = []
    for block in pages.blocks(text_of_page, "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.startswith("$ make "):
                continue  # the demo and the tests themselves
            if line.startswith("$ "):
                commands.append((line.removeprefix("$ "), []))
            elif commands:
                commands[-1][1].append(line)
    return commands


def shown(lines: list[str]) -> list[str]:
    """Return the words before the first number of each line of output that a page shows, frames left out."""
    labels = [re.split(r"[\d…]", " ".join(re.sub(r"[^\w\s.,:()-]", " ", line).split()))[0].strip() for line in lines]
    return [label for label in labels if label]


def check(name: str, outcomes: list[Outcome], expected: list[tuple[str, list[str]]]) -> None:
    """Assert that each command succeeded and printed what the page shows."""
    for outcome, (command, lines) in zip(outcomes, expected, strict=True):
        alarm = shlex.split(command)[:2] == ["classifier", "drift"]  # 1 means an alarm
        assert outcome.returncode in ({0, 1} if alarm else {0}), f"{name}: {command}\n{outcome.output}"
        printed = " ".join(re.sub(r"[^\w\s.,:()-]", " ", outcome.output).split())
        for label in shown(lines):
            assert label in printed, f"{name}: {command}: {label!r} is not printed\n{outcome.output}"


@pytest.fixture
def run_page():
    """Run a page's commands in a shell, and check what it shows."""

    def run(shell: Shell, name: str, **environment: str) -> list[Outcome]:
        expected = steps(pages.read(name))
        outcomes = shell.run([command for command, _ in expected], **environment)
        check(name, outcomes, expected)
        return outcomes

    return run


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    opened = Shell(tmp_path_factory.mktemp("pages") / "work")
    yield opened
    opened.close()

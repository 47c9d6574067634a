"""The project's pages, and what stands in them: code blocks, command lines, links and names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]))
NAMES = tuple(str(page.relative_to(ROOT)) for page in PAGES)

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SEPARATORS = {"&&", "||", ";", "|", "<", ">", ">>"}


@dataclass(frozen=True)
class Block:
    """A code block: its language, and its text without the indent of a list."""

    language: str
    text: str


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[Block]:
    """Return the code blocks of some languages, in order."""
    every_block = (
        Block(match[2], re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)) for match in _BLOCK.finditer(text)
    )
    return [block for block in every_block if not languages or block.language in languages]


def prose(text: str) -> str:
    """Return a page without its code blocks."""
    return _BLOCK.sub("", text)


def inline_code(text: str) -> list[str]:
    return _INLINE.findall(prose(text))


def links(text: str) -> list[str]:
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(text)))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shell_lines(text: str) -> Iterator[str]:
    """Yield the shell's lines of a page: those of `sh` blocks, and those after `$ ` in `console` blocks."""
    for block in blocks(text, "sh", "console"):
        lines = block.text.replace("\\\n", " ").splitlines()
        yield from (line.removeprefix("$ ") for line in lines if block.language == "sh" or line.startswith("$ "))


def classifier_lines(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each `classifier …` line of a page, in blocks and in inline code."""
    candidates = [*shell_lines(text), *(code for code in inline_code(text) if code.startswith("classifier "))]
    for line in candidates:
        if "classifier " not in line or "…" in line or "COMMAND" in line:
            continue
        words = shlex.split(line, comments=True)
        for start in (index for index, word in enumerate(words) if word == "classifier"):
            arguments = []
            for word in words[start + 1 :]:
                if word.rstrip(";") in _SEPARATORS or word in _SEPARATORS:
                    break
                arguments.append(word)
            if arguments:
                yield arguments

"""Check the words of documents, code, templates and SQL: print `file:line: word → say …` and fail if there is any.

`make check` runs it: `python tools/prose.py [PATH ...]`; without a path, every file that git knows.

- `WORDS` are checked everywhere: in prose, comments, messages and, with `_` for a space, in identifiers.
- `IDENTIFIERS` are plain English in a sentence, but say nothing as a name: they are checked in Python only, as the
  names of variables, parameters, functions and classes.
- `FIRST_WORDS` may not begin a docstring, which says what a function returns or does.
- Markdown pages have at most `MAX_SENTENCE_WORDS` words a sentence.
- `EXCEPTIONS` names each allowed use, with its reason.

Vale has this kind of rule, but its package fetches a program from GitHub when it first runs, and a check must run
without a network.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_SENTENCE_WORDS = 25
GENERATED = "<!-- Written by docs/generate.py"
SUFFIXES = {".md", ".py", ".sql", ".toml", ".html", ".css", ".js", ".yml", ".yaml", ".mako", ".sh", ".example"}
NAMES = {"Makefile", "Dockerfile", "run"}

WORDS: dict[str, str] = {
    r"borne": "tolerated, allowed",
    r"bears?|bear rows": "tolerate, have; min_rejected_rows",
    r"foretell|foretells|foretold": "predict",
    r"deals?|dealt|dealer|dealing": "assign, draw; split assigner",
    r"learnt": "learned, trained",
    r"whoever": "the actor: a user, a worker",
    r"nobody": "no user, no worker",
    r"somebody": "another user, another process",
    r"goes on|go on|going on|went on|gone on": "continue, resume",
    r"under way": "running, unfinished",
    r"(?:take|takes|taken|took|taking) in": "ingest, import",
    r"(?:take|takes|taken|took|taking) (?:it|them|rows|articles|files|a file|a sheet) in": "ingest, import",
    r"told plainly": "shown, stated",
    r"made up|made-up": "synthetic",
    r"crown|crowned|crowns": "make_champion",
    r"beside": "with, next to, compared with",
    r"surer|surest": "more confident",
    r"without one|without it, (?:it|the)": "if X is not set, …",
    r"where there (?:is|are|was|were) (?:one|any|some)": "if there is one",
    r"as it is|as they are|as it stands|as they stand": "unchanged",
    r"\d right|right by|right together|(?:be|are|is|was|were|have|has|had|often) right": "correct; accuracy",
    r"so many (?:articles|rows|steps|minutes|of|days|bad|words)": "this many, at most N",
    r"by luck": "by chance",
    r"mend|mends|mended|mending": "fix, repair",
    r"bury|buried|buries": "add_dead_letter",
    r"forget former|drop mended|go on from": "delete_previous, delete_resolved, resume",
    r"imagined": "pseudo-count",
    r"own table": "external table",
    r"set aside|SetAside": "rejected row, invalid row",
    r"heard at": "last_heartbeat_at",
    r"ha(?:s|ve|d) to be": "must be",
    r"of the user's own|of yours|of ours": "external; your; our",
    r"he|his|him|himself": "they, the user",
    r"anew": "again",
    r"gives? alarm|gave alarm": "raise an alarm",
    r"precision wanted|wanted precision|wanted_precision": "target precision",
    r"long articles\b(?=.{0,3}\.py)": "chunking",
    r"optimiser": "optimizer",
    r"blend|blends|blended|blending": "ensemble",
    r"keeps? \w+ waiting|waits? for nobody": "block, take no lock",
    r"spare|besides that": "reserve; also",
    r"as ever": "as before",
    r"lets? in|gets? in": "accept, pass",
}
"""What is searched (case ignored, whole words) and what to say instead."""

IDENTIFIERS: dict[str, str] = {
    "found": "result, rows, path: the thing",
    "one": "article, candidate, item: the thing",
    "some": "the thing",
    "said": "message, output",
    "told": "callbacks, message",
    "place": "workspace, path",
    "wanted": "requested, target, expected",
    "known": "known_categories: the thing",
    "given": "arguments, values",
    "whole": "text, file: the thing",
    "rest": "remaining_rows: the thing",
    "right": "correct",
    "tiny": "tiny_models, small",
    "world": "env",
    "deal": "assign_split",
    "bear": "tolerate",
    "beside": "baseline, best_effort",
    "stretch": "backfill_chunk",
    "judge": "apply_gate",
    "judged": "gate_result",
    "learning": "learning_curves",
    "conduct": "task_defaults",
    "signals": "metrics",
    "places": "workspaces",
    "watch": "check_drift",
    "watched": "drift_report",
    "answered": "model_outputs",
    "remember": "save_source_state",
    "LEAST": "MIN_…",
    "MOST": "MAX_…",
    "LARGEST": "MAX_…",
    "AHEAD": "MAX_CLOCK_SKEW",
    "PATIENCE_S": "TIMEOUT_S",
    "STRETCH": "BATCH_SIZE",
    "SPARE": "OVERSAMPLING",
}
"""Python names that say nothing, and what kind of name to give."""

FIRST_WORDS = {"say": "Return", "tell": "Return", "let": "Allow", "have": "Make", "know": "Return"}

EXCEPTIONS: tuple[tuple[str, str, str], ...] = (
    ("tools/prose.py", "*", "the list itself"),
    ("tests/docs/test_prose.py", "*", "tests of the list"),
    ("tools/pages/benchmark_columns.py", "*", "names as they stand in results that were measured earlier"),
    ("classifier/charts.py", "right", "the right edge of a chart"),
    ("tests/unit/training/test_curves.py", "right", "the chart on the right"),
    ("classifier/ingest/feed_dates.py", "he", "the code of Hebrew"),
    ("classifier/inference/agreement.py", "goes on", "a sample sentence: a phone goes on sale"),
)
"""(path pattern, word pattern, reason): uses that are allowed."""

_WORD = re.compile(
    "|".join(f"(?P<w{i}>{pattern})" for i, pattern in enumerate(WORDS)).replace(" ", "[_ ]"), re.IGNORECASE
)
_EDGE = re.compile(r"[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Problem:
    """A use of a word that must not be used."""

    path: str
    line: int
    word: str
    say: str

    def __str__(self) -> str:
        """Return the line that is printed."""
        return f"{self.path}:{self.line}: {self.word} → {self.say}"


def check_text(path: str, text: str) -> Iterator[Problem]:
    """Yield each use of a word of `WORDS`."""
    says = list(WORDS.values())
    for number, line in enumerate(text.splitlines(), start=1):
        for match in _WORD.finditer(line):
            start, end = match.span()
            if _EDGE.match(line[start - 1 : start]) or _EDGE.match(line[end : end + 1]):
                continue
            name = next(name for name, value in match.groupdict().items() if value is not None)
            yield Problem(path, number, match[0], says[int(name[1:])])


def check_names(path: str, text: str) -> Iterator[Problem]:
    """Yield each Python name that says nothing, and each docstring that begins with a wrong verb."""
    for node in ast.walk(ast.parse(text)):
        name = _bound_name(node)
        if name in IDENTIFIERS:
            yield Problem(path, node.lineno, name, IDENTIFIERS[name])  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = (ast.get_docstring(node) or " ").split(" ")[0].lower().rstrip(".,:")
            if first in FIRST_WORDS and not path.startswith("tests/"):
                yield Problem(path, node.lineno, f'docstring "{first} …"', f"{FIRST_WORDS[first]} …")


def check_sentences(path: str, text: str) -> Iterator[Problem]:
    """Yield each sentence of a Markdown page with more than `MAX_SENTENCE_WORDS` words."""
    for number, paragraph in _paragraphs(text):
        for sentence in re.split(r"(?<=[.!?:;])\s+", paragraph):
            words = [word for word in sentence.split() if re.search(r"\w", word)]
            if len(words) > MAX_SENTENCE_WORDS:
                shown = " ".join(words[:6])
                yield Problem(path, number, f'"{shown} …" has {len(words)} words', "two sentences")


def check_file(path: Path) -> list[Problem]:
    """Return the problems of one file, exceptions left out."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    if text.startswith(GENERATED):  # its words stand in the code, where they are checked
        return []
    problems = list(check_text(name, text))
    if path.suffix == ".py":
        problems += check_names(name, text)
    if path.suffix == ".md":
        problems += check_sentences(name, text)
    return [problem for problem in problems if not _is_allowed(problem)]


def listed_files() -> list[Path]:
    """Return every file that git knows or would add, of the kinds that are checked."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [ROOT / name for name in output.split("\0") if name]
    return sorted(path for path in paths if path.is_file() and (path.suffix in SUFFIXES or path.name in NAMES))


def main(arguments: list[str]) -> int:
    """Check the paths, or every file; return 1 if there is a problem."""
    paths = [Path(argument).resolve() for argument in arguments] or listed_files()
    problems = [problem for path in paths for problem in check_file(path)]
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    if problems:
        sys.stdout.write(f"{len(problems):,} problems; an allowed use goes to EXCEPTIONS in tools/prose.py\n")
    return int(bool(problems))


def _is_allowed(problem: Problem) -> bool:
    return any(
        fnmatch.fnmatch(problem.path, path) and fnmatch.fnmatch(problem.word.lower(), word)
        for path, word, _ in EXCEPTIONS
    )


def _bound_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    return None


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield each paragraph or list item with its first line's number, without code, tables, headings and comments."""
    lines: list[str] = []
    start = 0
    in_code = False
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        stripped = line.strip()
        fence = stripped.startswith(("```", "~~~"))
        in_code = in_code != fence
        skipped = fence or in_code or stripped.startswith(("|", "#", "<!--", "![")) or not stripped
        begins_item = re.match(r"([-*]|\d+\.) ", stripped)
        if (skipped or begins_item) and lines:
            yield start, " ".join(lines)
            lines = []
        if not skipped:
            start = start if lines else number
            lines.append(re.sub(r"^([-*]|\d+\.) ", "", _without_markup(stripped)))


def _without_markup(line: str) -> str:
    """Return a line with each piece of code and each link's address as one word."""
    line = re.sub(r"`[^`]*`", "code", line)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

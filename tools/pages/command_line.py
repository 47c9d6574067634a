"""`docs/reference/cli.md`: every command with its arguments and options, from the typer app."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from classifier.cli.app import app
from tools.pages import page, table

INTRODUCTION = """
Results go to standard output: a table, or one line of JSON with `--json`. Logs and progress go to standard error.

| exit code | meaning |
| --- | --- |
| 0 | the command did what it should |
| 1 | it worked, and there is a result to look at: an alarm of `classifier drift`, or a worker that died |
| 2 | a mistake that the user can correct, described in one line on standard error |

`classifier --verbose COMMAND` also shows the log. `classifier COMMAND --help` prints what stands here.
"""


def commands(command: Any = None, path: str = "classifier") -> Iterator[tuple[str, Any]]:
    """Yield each command that can be run with its full name, groups before their commands."""
    command = typer.main.get_command(app) if command is None else command
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{path} {name}")


def cli_page() -> str:
    """Return the page."""
    return page("Command line", INTRODUCTION, *(_section(path, command) for path, command in commands()))


def _section(path: str, command: Any) -> str:
    if path == "classifier":
        return ""
    parts = [f"## `{path}`", inspect.cleandoc(command.help or "")]
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        parts.append(table(("argument or option", "value", "default", "meaning"), rows))
    return "\n\n".join(part for part in parts if part)


def _row(parameter: Any) -> tuple[str, str, str, str]:
    if parameter.param_type_name == "argument":
        name = f"`{(parameter.metavar or parameter.name).upper()}`"
    else:
        name = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    kind = "" if getattr(parameter, "is_flag", False) else _kind(parameter)
    many = "; may be repeated" if getattr(parameter, "multiple", False) or parameter.nargs == -1 else ""
    return name, kind + many, _default(parameter), getattr(parameter, "help", None) or ""


def _kind(parameter: Any) -> str:
    """Return the kind of value, with its bounds; typer keeps it in `type_descriptor`, older versions in `type`."""
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    name = getattr(annotation, "__name__", None) or getattr(getattr(parameter, "type", None), "name", "")
    kinds = {
        "str": "text",
        "list": "text",
        "int": "whole number",
        "tuple": "two texts",
        "float": "number",
        "Path": "path",
        "datetime": "date or time",
    }
    bounds = [f"{word} {value:g}" for word in ("min", "max") if (value := getattr(parameter, word, None)) is not None]
    return ", ".join([kinds.get(name, str(name).lower()), *bounds])


def _default(parameter: Any) -> str:
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return f"`{shown}`"
    if parameter.required:
        return "required"
    default = parameter.default() if callable(parameter.default) else parameter.default
    return "" if default in {None, False, ""} or default == () or "Sentinel" in repr(default) else f"`{default}`"

"""Options and checks that several commands share."""

from __future__ import annotations

import getpass
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from classifier import settings
from classifier.exceptions import SettingsError

if TYPE_CHECKING:
    from classifier.workspace import Workspace

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of a table.")]
Engine = Annotated[str, typer.Option(help="Inference engine: auto, openvino or keras.")]
TargetPrecision = Annotated[
    float | None,
    typer.Option(
        help="Target precision of the labels, from 0 to 1: the model abstains if its confidence is too low. "
        "0 disables it. In a multi-label task, each category's threshold is chosen for it; by default, for F1.",
        show_default="CLASSIFIER_TARGET_PRECISION",
    ),
]
TaskName = Annotated[str | None, typer.Option(help="Name of the task; needed only if there are several.")]

_task: ContextVar[str | None] = ContextVar("task", default=None)


def forget_task() -> None:
    """Forget the task of a command that ran before in this process."""
    _task.set(None)


def of_task(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with an option --task, which `workspace` uses."""
    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter("task", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=TaskName)
    parameters = list(signature.parameters.values())
    position = next((index for index, each in enumerate(parameters) if each.name == "json"), len(parameters))

    @wraps(command)
    def with_task(*args: Any, task: str | None = None, **values: Any) -> None:
        if task is not None:  # a group's own option holds for its command
            _task.set(task)
        command(*args, **values)

    changed = signature.replace(parameters=[*parameters[:position], option, *parameters[position:]])
    with_task.__signature__ = changed  # type: ignore[attr-defined]
    with_task.__annotations__ = {each.name: each.annotation for each in changed.parameters.values()}
    return with_task


def named_task() -> str | None:
    """Return the value of the option --task, or None."""
    return _task.get()


def workspace(*, create: bool = False) -> Workspace:
    """Return the workspace with the database that the settings name, for the task of the option --task.

    With `create`, the embedded Postgres is created if it does not exist.
    """
    from classifier.workspace import open_workspace  # some commands need no database, and must start fast

    return open_workspace(settings.load(), create=create, task=_task.get())


def user_name(command: str) -> str:
    """Return who runs a command, for the history of decisions and changes."""
    try:
        return f"{getpass.getuser()}, classifier {command}"
    except (KeyError, OSError):  # a user without a name, as in a container
        return f"classifier {command}"


def to_utc(moment: datetime | None) -> datetime | None:
    """Return an option's time; one that names no time zone is in UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def checked_precision(target: float | None) -> float | None:
    """Return a target precision that was checked.

    Raises:
        SettingsError: it is not a share below 1.
    """
    if target is not None and not 0 <= target < 1:
        raise SettingsError(f"--target-precision {target:g}: must be at least 0 and less than 1, such as 0.99")
    return target


def engine_name(name: str) -> Any:
    """Return the name of an engine, or of "auto".

    Raises:
        SettingsError: the engine is unknown.
    """
    if name not in {"auto", "openvino", "keras"}:
        raise SettingsError(f"engine {name!r}: unknown; choose from auto, openvino, keras")
    return name

"""What every group of commands needs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from classifier import settings
from classifier.exceptions import SettingsError
from classifier.workspace import Workspace, open_workspace

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of a table.")]
Engine = Annotated[str, typer.Option(help="What computes: auto, openvino or keras.")]
TargetPrecision = Annotated[
    float | None,
    typer.Option(
        help="Precision wanted of labels; where the model is not sure enough, it abstains. 0: it never does.",
        show_default="CLASSIFIER_TARGET_PRECISION",
    ),
]


def workspace() -> Workspace:
    """Open the database that the settings name."""
    return open_workspace(settings.load())


def checked_precision(wanted: float | None) -> float | None:
    """Return a target precision.

    Raises:
        SettingsError: it is no share below 1.
    """
    if wanted is not None and not 0 <= wanted < 1:
        raise SettingsError(f"--target-precision {wanted:g}: has to be at least 0 and less than 1, such as 0.99")
    return wanted


def engine_name(name: str) -> Any:
    """Return the name of an engine, or of "auto".

    Raises:
        SettingsError: there is none of that name.
    """
    if name not in {"auto", "openvino", "keras"}:
        raise SettingsError(f"engine {name!r}: one of auto, openvino, keras")
    return name

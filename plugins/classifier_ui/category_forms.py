"""The forms that change categories: what each asks for, and what it sends."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from classifier.exceptions import CategoryError
from classifier.names import normalize_category
from classifier.pipeline.categories import changes
from classifier.pipeline.categories.changes import ChangeReport
from classifier.workspace import Workspace

FormChange = Literal["rename", "merge", "split", "retire", "restore", "describe", "move", "undo"]
"""The kinds of change that have a form; a tree is imported on the command line."""

IMPORT_EFFECT = "Only places in the tree and descriptions change; labels and annotations stay."

MIN_REASON_LENGTH = 3

MAX_NAMES_LENGTH, MAX_WORDS_LENGTH = 50_000, 20_000
"""Characters that a form may send; a use case limits each name, the reason and the description further."""

MAX_CHANGES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class FormKind:
    """What the form of a kind of change asks for.

    Attributes:
        title: The words on its button.
        effect: What the change does.
        names: The label of the field for the changed categories; empty: there is none. `several` takes one a line.
        targets: The label of the field for other names; empty: there is none. `several_targets` takes one a line.
        may_lack_target: Whether that field may be empty.
        described: Whether it has a field for the description.
    """

    title: str
    effect: str
    names: str = "Category"
    several: bool = False
    targets: str = ""
    several_targets: bool = False
    may_lack_target: bool = False
    described: bool = False


KINDS: dict[FormChange, FormKind] = {
    "rename": FormKind(
        "Rename",
        "Labels show the new name at once. Sources may still deliver the old one.",
        targets="New name",
    ),
    "merge": FormKind(
        "Merge",
        "Labels show the merged category at once, and the next training learns it.",
        names="Categories, one a line",
        several=True,
        targets="Into: one of them, another category, or a new name",
    ),
    "split": FormKind(
        "Split",
        "Its annotated articles go to review, and keep the label until a new champion labels them.",
        targets="Into: two or more categories, one a line; they may be new",
        several_targets=True,
    ),
    "retire": FormKind("Retire", "Annotators are not asked for it and no model learns it. Its labels stay."),
    "restore": FormKind(
        "Restore",
        "Annotators are asked for it again, and the next training learns it.",
        names="Retired category",
    ),
    "describe": FormKind("Describe", "People who annotate read the description.", described=True),
    "move": FormKind(
        "Move",
        "Only the place in the tree changes; labels and annotations stay.",
        names="Categories, one a line",
        several=True,
        targets="Below: a category or a new name; empty: to the top",
        may_lack_target=True,
    ),
    "undo": FormKind("Undo", "The categories are again what they were before that change.", names=""),
}


class ChangeForm(BaseModel):
    """What a form sends.

    Attributes:
        seen: How many changes the task had when the user saw it.
        names, targets: Categories, one a line.
    """

    change: FormChange
    seen: int = Field(0, ge=0, le=MAX_CHANGES)
    names: str = Field("", max_length=MAX_NAMES_LENGTH)
    targets: str = Field("", max_length=MAX_NAMES_LENGTH)
    description: str = Field("", max_length=MAX_WORDS_LENGTH)
    reason: str = Field("", max_length=MAX_WORDS_LENGTH)


def split_lines(value: str) -> list[str]:
    """Return the names of a field with one a line, normalized, each once."""
    return list(dict.fromkeys(name for name in map(normalize_category, re.split(r"\r\n|\r|\n", value)) if name))


def perform(workspace: Workspace, form: ChangeForm, *, changed_by: str, preview: bool) -> ChangeReport:
    """Do or preview what a form asks for.

    Raises:
        CategoryError: a field is missing, the change is impossible, or there are newer changes than the user has seen.
    """
    kind = KINDS[form.change]
    if len(form.reason.strip()) < MIN_REASON_LENGTH:
        raise CategoryError("reason: too short; write why, for those who ask later")
    for field in ("reason", "description"):
        if "\0" in getattr(form, field):
            raise CategoryError(f"{field}: has the control character U+0000; remove it")
    names, targets = split_lines(form.names), split_lines(form.targets)
    author = {"changed_by": changed_by, "reason": form.reason, "preview": preview, "seen_changes": form.seen}
    if form.change == "undo":
        return changes.undo_change(workspace, **author)
    _check_number(kind.names, names, several=kind.several)
    if kind.targets:
        least = 2 if kind.several_targets else 0 if kind.may_lack_target else 1
        _check_number(kind.targets, targets, least=least, several=kind.several_targets)
    description = form.description if kind.described else ""
    own_targets = targets if kind.targets else []
    return changes.change_categories(workspace, form.change, names, own_targets, description=description, **author)


def _check_number(label: str, names: Collection[str], *, least: int = 1, several: bool = False) -> None:
    field = label.partition(":")[0].partition(",")[0].lower()
    if len(names) < least:
        expected = "a category's name" if least == 1 else f"{least} or more categories, one a line"
        raise CategoryError(f"{field}: write {expected}")
    if len(names) > 1 and not several:
        raise CategoryError(f"{field}: write one name only")

"""Which changes of categories are possible."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches

from classifier.exceptions import CategoryError
from classifier.names import MAX_CATEGORY_LENGTH, control_character, normalize_category
from classifier.taxonomy import MAX_DEPTH, CategoryChange, Taxonomy

_SEE = "see: classifier categories list"


def check_change(taxonomy: Taxonomy, existing: Collection[str], change: CategoryChange) -> CategoryChange:
    """Return a change if it is possible, else raise an error.

    `existing` are the present names of the task's categories, retired and split ones too. A category that takes others
    in is among the names of the result.

    Raises:
        CategoryError: a category does not exist or cannot be changed so, or a name is taken.
    """
    for name in change.names:
        _check_exists(taxonomy, existing, name)
        if change.kind != "restore":
            _check_active(taxonomy, name)
    _CHECKS[change.kind](taxonomy, existing, change)
    if change.kind == "merge" and change.targets[0] in existing:
        change = replace(change, names=tuple(dict.fromkeys([*change.names, *change.targets])))
    if change.kind in {"merge", "move"} and taxonomy.apply(change).depth() > MAX_DEPTH:
        raise CategoryError(f"{change.names[0]}: the tree would have more than {MAX_DEPTH} levels; move others first")
    return change


def checked_name(name: str, *, where: str | None = None) -> str:
    """Return a normalized category's name; `where` begins the message if it cannot be used.

    Raises:
        CategoryError: it is empty or too long, or has a control character.
    """
    name = normalize_category(name)
    described = f"{where}: {name[:40]!r}" if where else f"{name[:40]!r}"
    if not name or len(name) > MAX_CATEGORY_LENGTH:
        raise CategoryError(
            f"{described}: a category's name has 1 to {MAX_CATEGORY_LENGTH} characters; choose another name"
        )
    if control := control_character(name):
        raise CategoryError(f"{described}: has the control character {control}; choose another name")
    return name


def check_parent(taxonomy: Taxonomy, name: str) -> None:
    """Raise an error if a category cannot be a parent.

    Raises:
        CategoryError: it was retired or split.
    """
    _check_active(taxonomy, name)


def _check_exists(taxonomy: Taxonomy, existing: Collection[str], name: str) -> None:
    if name in existing:
        return
    if (present := taxonomy.present(name)) != name:
        raise CategoryError(f"{name}: is a former name of {present}; use the present name")
    close = get_close_matches(name, [*existing], n=1)
    hint = f"did you mean {close[0]}?" if close else _SEE
    raise CategoryError(f"{name}: no such category; {hint}")


def _check_active(taxonomy: Taxonomy, name: str) -> None:
    if name in taxonomy.retired:
        raise CategoryError(f"{name}: was retired; run first: classifier categories restore {name!r}")
    if into := taxonomy.splits.get(name):
        raise CategoryError(f"{name}: was split into {', '.join(into)}; it cannot be changed any more")


def _check_rename(taxonomy: Taxonomy, existing: Collection[str], change: CategoryChange) -> None:
    (old,), (new,) = change.names, change.targets
    if new == old:
        raise CategoryError(f"{old}: has this name already")
    if new in existing:
        raise CategoryError(
            f"{new}: is another category; to make one of both, run: classifier categories merge {old!r} --into {new!r}"
        )
    _check_not_former(taxonomy, new, owner=old)


def _check_merge(taxonomy: Taxonomy, existing: Collection[str], change: CategoryChange) -> None:
    (target,) = change.targets
    if target in existing:
        _check_active(taxonomy, target)
    else:
        _check_not_former(taxonomy, target)
    if len({*change.names, target}) < 2:
        raise CategoryError(f"{target}: a merge needs two categories; name another one")
    if len(change.names) == 1 and target not in existing:
        raise CategoryError(
            f"{target}: no such category to merge into; to rename one, run: classifier categories rename "
            f"{change.names[0]!r} {target!r}"
        )


def _check_split(taxonomy: Taxonomy, existing: Collection[str], change: CategoryChange) -> None:
    (name,) = change.names
    if len(change.targets) < 2 or name in change.targets:
        raise CategoryError(f"{name}: a split needs two or more other categories: --into ONE --into ANOTHER")
    for part in change.targets:
        if part in existing:
            _check_active(taxonomy, part)
        else:
            _check_not_former(taxonomy, part)


def _check_retire(taxonomy: Taxonomy, existing: Collection[str], change: CategoryChange) -> None:
    left = taxonomy.active(existing) - {*change.names}
    if not left:
        raise CategoryError(f"{change.names[0]}: is the only category in use; add another one first")


def _check_restore(taxonomy: Taxonomy, _: Collection[str], change: CategoryChange) -> None:
    for name in change.names:
        if name not in taxonomy.retired:
            raise CategoryError(f"{name}: was not retired; {_SEE}")


def _check_move(taxonomy: Taxonomy, existing: Collection[str], change: CategoryChange) -> None:
    for parent in change.targets:
        if parent not in existing:
            _check_not_former(taxonomy, parent)
        check_parent(taxonomy, parent)
        for name in change.names:
            if name in taxonomy.path(parent):
                raise CategoryError(
                    f"{name}: cannot be moved below {parent}, which is {name} itself or one of its descendants"
                )


def _check_not_former(taxonomy: Taxonomy, name: str, *, owner: str | None = None) -> None:
    """Raise an error if a name is a former name of another category than `owner`: what is recorded so is its own."""
    present = taxonomy.present(name)
    if present not in {name, owner}:
        raise CategoryError(f"{name}: is a former name of {present}; choose another name")


def _check_nothing(*_: object) -> None:
    pass


_CHECKS: Mapping[str, Callable[[Taxonomy, Collection[str], CategoryChange], None]] = {
    "rename": _check_rename,
    "merge": _check_merge,
    "split": _check_split,
    "retire": _check_retire,
    "restore": _check_restore,
    "describe": _check_nothing,
    "move": _check_move,
}

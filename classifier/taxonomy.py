"""The categories of today of a task: renamed, merged, split, retired, described and in a tree.

Annotations and models keep the names that they were recorded with. A log of changes says what these names mean today.
Nothing that was recorded is rewritten, so each change takes effect at once and can be undone.

Former names are never free again: what a source still delivers under a former name belongs to the same category.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, get_args

ChangeKind = Literal["rename", "merge", "split", "retire", "restore", "describe", "move", "import", "undo"]
CHANGE_KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)

CategoryState = Literal["active", "retired", "split"]

MAX_DEPTH = 6
"""Levels of the tree of categories."""

MAX_DESCRIPTION_LENGTH = 2000
"""Characters of a category's description."""


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """One change of a task's categories.

    Attributes:
        names: The categories that are changed, with the one that takes others in; empty for an undo.
        targets: The new name, the merged category, the categories of a split, or the parent; empty: no parent.
        description: The new description of the kind `describe`; of the kind `import`, what `encode_tree` returned.
    """

    kind: ChangeKind
    names: tuple[str, ...]
    targets: tuple[str, ...] = ()
    description: str = ""
    reason: str = ""
    changed_by: str = ""
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """What the recorded names of a task's categories mean today.

    Attributes:
        present_names: The present name of each recorded name that has another one.
        merged: Recorded names that a merge has made part of another category.
        splits: The categories into which a category was split, by its present name.
        retired: Present names of retired categories.
        descriptions: By present name.
        parents: The parent of each category that has one, by present name.
    """

    present_names: Mapping[str, str] = field(default_factory=dict)
    merged: frozenset[str] = frozenset()
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()
    descriptions: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)

    def present(self, name: str) -> str:
        """Return the present name of a category that was recorded with this name."""
        return self.present_names.get(name, name)

    def present_set(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the present names of several recorded categories, sorted, each once."""
        return tuple(sorted({self.present(name) for name in names}))

    def state(self, name: str) -> CategoryState:
        """Return the state of a category by its present name."""
        return "retired" if name in self.retired else "split" if name in self.splits else "active"

    def active(self, names: Iterable[str]) -> set[str]:
        """Return the present names of recorded categories, without retired and split ones."""
        return {name for name in map(self.present, names) if self.state(name) == "active"}

    def closed_reason(self, name: str) -> str | None:
        """Return why no article is annotated with a recorded category any more, or None."""
        present = self.present(name)
        if present in self.retired:
            return f"category {present[:40]!r} was retired; see: classifier categories show"
        if into := self.splits.get(present):
            return f"category {present[:40]!r} was split into {', '.join(into)}; choose one of these"
        return None

    def former_names(self) -> dict[str, tuple[str, ...]]:
        """Return by present name the other names with which a category was recorded, sorted."""
        names = defaultdict[str, list[str]](list)
        for former, present in sorted(self.present_names.items()):
            names[present].append(former)
        return {present: tuple(former) for present, former in names.items()}

    def path(self, name: str) -> tuple[str, ...]:
        """Return a category's ancestors, the topmost first, and the category itself."""
        return (*reversed(ancestors(name, self.parents)), name)

    def depth(self) -> int:
        """Return the number of levels of the tree; 1 if no category has a parent."""
        return max((len(self.path(name)) for name in self.parents), default=1)

    def apply(self, change: CategoryChange) -> Taxonomy:
        """Return the taxonomy after a change, which must be valid and not an undo."""
        if change.kind == "rename":
            return self._rename(change.names[0], change.targets[0])
        if change.kind == "merge":
            return self._merge(change.names, change.targets[0])
        if change.kind in {"move", "import"}:
            return self._arrange(change)
        values: dict[str, object] = {}
        if change.kind == "split":
            values["splits"] = {**self.splits, change.names[0]: change.targets}
        elif change.kind == "describe":
            values["descriptions"] = {**self.descriptions, change.names[0]: change.description}
        else:
            names = {*change.names}
            values["retired"] = self.retired | names if change.kind == "retire" else self.retired - names
        return replace(self, **values)  # type: ignore[arg-type]

    def _arrange(self, change: CategoryChange) -> Taxonomy:
        if change.kind == "import":
            parents, descriptions = decode_tree(change.description)
            kept = {child: parent for child, parent in self.parents.items() if child not in parents}
            added = {child: parent for child, parent in parents.items() if parent is not None}
            return replace(self, parents=kept | added, descriptions={**self.descriptions, **descriptions})
        kept = {child: parent for child, parent in self.parents.items() if child not in change.names}
        return replace(self, parents=kept | {name: parent for name in change.names for parent in change.targets})

    def _rename(self, old: str, new: str) -> Taxonomy:
        def renamed(name: str) -> str:
            return new if name == old else name

        recorded = {name for name, present in self.present_names.items() if present == old} | {old, new}
        present_names = {**self.present_names, **dict.fromkeys(recorded, new)}
        return Taxonomy(
            {name: present for name, present in present_names.items() if name != present},
            self.merged,
            {renamed(name): tuple(map(renamed, into)) for name, into in self.splits.items()},
            frozenset(map(renamed, self.retired)),
            {renamed(name): description for name, description in self.descriptions.items()},
            {renamed(name): renamed(parent) for name, parent in self.parents.items()},
        )

    def _merge(self, names: tuple[str, ...], target: str) -> Taxonomy:
        sources = {*names} - {target}
        recorded = sources | {name for name, present in self.present_names.items() if present in sources}
        kept = {name: description for name, description in self.descriptions.items() if name not in sources}
        parents = {
            child: target if parent in sources else parent
            for child, parent in self.parents.items()
            if child not in sources | {target}
        }
        if (parent := self._parent_of_merged(names, target)) is not None:
            parents[target] = parent
        return replace(
            self,
            present_names={**self.present_names, **dict.fromkeys(recorded, target)},
            merged=self.merged | recorded,
            splits={
                name: tuple(dict.fromkeys(target if part in sources else part for part in into))
                for name, into in self.splits.items()
            },
            descriptions=kept,
            parents=parents,
        )

    def _parent_of_merged(self, names: tuple[str, ...], target: str) -> str | None:
        """Return the parent of a merged category: the first that is above all of its parts on the target's path.

        A new target, which is not among the names, has the place of the first part that has one. Nothing above that
        parent is merged, so there is no circle.
        """
        merged = {*names, target}
        for name in (target,) if target in names else names:
            path = self.path(name)
            above = path[: min(index for index, each in enumerate(path) if each in merged)]
            if above:
                return above[-1]
        return None

    def undo(self, change: CategoryChange, later: Taxonomy) -> Taxonomy:
        """Return this taxonomy, which `change` has turned into `later`, after the change is undone.

        A name that a rename has introduced stays a name of its category: annotations may be recorded with it meanwhile.
        """
        old, new = (change.names[0], change.targets[0]) if change.kind == "rename" else ("", "")
        released = {*change.names} - {*change.targets} if change.kind in {"rename", "merge"} else set()
        kept = {
            name: old if present == new else present
            for name, present in later.present_names.items()
            if name not in self.present_names and name not in released
        }
        if new and new not in self.present_names:
            kept[new] = old
        names = {name: present for name, present in (kept | {**self.present_names}).items() if name != present}
        return replace(self, present_names=names)


def ancestors(name: str, parents: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ancestors of a category, the nearest first; `parents` has the parent of each category with one."""
    above = list[str]()
    while (parent := parents.get(name)) is not None:
        above.append(parent)
        name = parent
    return tuple(above)


def encode_tree(parents: Mapping[str, str | None], descriptions: Mapping[str, str]) -> str:
    """Return the parents and descriptions of categories as the description of a change of the kind `import`.

    A category without a parent is at the top.
    """
    return json.dumps({"parents": dict(parents), "descriptions": dict(descriptions)}, ensure_ascii=False)


def decode_tree(encoded: str) -> tuple[dict[str, str | None], dict[str, str]]:
    """Return the parents and descriptions that `encode_tree` has encoded."""
    tree = json.loads(encoded)
    return tree["parents"], tree["descriptions"]


def replay(changes: Iterable[CategoryChange]) -> Taxonomy:
    """Return the taxonomy after all changes, in their order. An undo takes back the last change that still counts."""
    taxonomy, undoable = Taxonomy(), list[tuple[Taxonomy, CategoryChange]]()
    for change in changes:
        if change.kind != "undo":
            undoable.append((taxonomy, change))
            taxonomy = taxonomy.apply(change)
        elif undoable:
            earlier, undone = undoable.pop()
            taxonomy = earlier.undo(undone, taxonomy)
    return taxonomy


def undone_changes(changes: Sequence[CategoryChange]) -> dict[int, int]:
    """Return the index of the change that each undo took back, by the undo's own index."""
    undone: dict[int, int] = {}
    counting = list[int]()
    for index, change in enumerate(changes):
        if change.kind != "undo":
            counting.append(index)
        elif counting:
            undone[index] = counting.pop()
    return undone


def counting_changes(changes: Sequence[CategoryChange]) -> list[CategoryChange]:
    """Return the changes that were not taken back, in their order."""
    undone = {*undone_changes(changes).values()}
    return [change for index, change in enumerate(changes) if change.kind != "undo" and index not in undone]


def last_counting(changes: Sequence[CategoryChange]) -> CategoryChange | None:
    """Return the change that an undo would take back, or None."""
    counting = counting_changes(changes)
    return counting[-1] if counting else None

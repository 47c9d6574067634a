"""Whatever happens to categories, the labels in SQL are those of a simple model in memory, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from classifier.exceptions import CategoryError
from classifier.pipeline.categories import changes
from classifier.pipeline.database import tasks
from classifier.store import category_rows, reviews
from classifier.workspace import Workspace
from tests.support.multi_label import add_champion
from tests.support.synthetic import add_articles, query, run

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
ARTICLES = 5
PEOPLE = ("ann", "bob")
_numbers = count()


@dataclass
class Meaning:
    """What names mean: the present name of each, the parts of split categories, and the retired ones."""

    present: dict[str, str] = field(default_factory=dict)
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()

    def of(self, name: str) -> str:
        return self.present.get(name, name)

    def copy(self) -> Meaning:
        return Meaning(dict(self.present), dict(self.parts), self.retired)

    def replace_name(self, old: str, new: str) -> None:
        for name, present in {**self.present, old: self.of(old)}.items():
            if present == old:
                self.present[name] = new
        self.present[new] = new
        self.parts = {
            new if name == old else name: tuple(dict.fromkeys(new if part == old else part for part in parts))
            for name, parts in self.parts.items()
        }


@dataclass(frozen=True)
class MemoryModel:
    """A model with fixed probabilities of each article."""

    name: str
    categories: tuple[str, ...]
    probabilities: np.ndarray
    threshold: float | None = None


class Categories(RuleBasedStateMachine):
    """Random changes, annotations, promotions and rollbacks of one task."""

    workspace: Workspace
    kind = "single"

    @initialize()
    def start(self) -> None:
        name = f"task{next(_numbers)}"
        tasks.add(self.workspace, name, kind=self.kind)
        run(self.workspace.database, "UPDATE tasks SET archived_at = now() WHERE name <> :name", name=name)
        self.opened = self.workspace.with_task(name)
        self.ids = [row[0] for row in query(self.workspace.database, "SELECT id FROM articles ORDER BY id")]
        self.meaning, self.undoable = Meaning(), list[tuple[Meaning, Callable[[Meaning, Meaning], None]]]()
        self.annotations: list[tuple[int, str, tuple[str, ...]]] = []
        self.models: list[MemoryModel] = []
        self.champions: list[MemoryModel] = []
        for article, person, category in zip(range(3), ("ann", "ann", "bob"), NAMES, strict=False):
            self.annotate(article, person, (category,))
        self.change("move", NAMES[:3], ("top",), lambda: None)

    def used(self) -> set[str]:
        names = {name for _, _, answer in self.annotations for name in answer} | {*self.meaning.present}
        names |= {name for model in self.models for name in model.categories}
        return {self.meaning.of(name) for name in names}

    @rule(article=st.integers(0, ARTICLES - 1), person=st.sampled_from(PEOPLE), names=st.sets(st.sampled_from(NAMES)))
    def annotate_again(self, article, person, names) -> None:
        """Annotate with present and former names, as sources do that still deliver the old ones."""
        answer = tuple(sorted(names)) if self.kind == "multi" else (min(names, default=NAMES[0]),)
        self.annotate(article, person, answer)

    def annotate(self, article: int, person: str, answer: tuple[str, ...]) -> None:
        columns = {
            "ids": [self.ids[article]],
            "revisions": [1],
            "categories": [answer],
            "annotators": [person],
            "comments": [None],
        }
        with self.opened.database.begin() as connection:
            reviews.add_annotations(connection, columns)
        if self.own_in_force(article, person) != self.present(answer):  # a repetition changes nothing
            self.annotations.append((article, person, answer))

    def own_in_force(self, article: int, person: str) -> tuple[str, ...] | None:
        """Return a person's last annotation of an article that no annotation with a split category has superseded."""
        for of_article, annotator, answer in reversed(self.annotations):
            if of_article == article and self.is_split(answer):
                return None
            if (of_article, annotator) == (article, person):
                return self.present(answer)
        return None

    def present(self, answer: tuple[str, ...]) -> tuple[str, ...]:
        """Return what an annotation says today."""
        return tuple(sorted({self.meaning.of(name) for name in answer}))

    def is_split(self, answer: tuple[str, ...]) -> bool:
        return not {*self.present(answer)}.isdisjoint(self.meaning.parts)

    def change(self, kind: str, names: tuple[str, ...], targets: tuple[str, ...], applied: Callable[[], None]) -> None:
        before = query(self.opened.database, "SELECT count(*) FROM category_changes")
        try:
            changes.change_categories(self.opened, kind, names, targets, changed_by="test")
        except CategoryError:
            assert query(self.opened.database, "SELECT count(*) FROM category_changes") == before
            return
        earlier = self.meaning.copy()
        applied()

        def carry(present: Meaning, later: Meaning) -> None:
            released = {*names} - {*targets} if kind in {"rename", "merge"} else set()
            for name, now in later.present.items():
                if name not in present.present and name not in released:
                    present.present[name] = names[0] if kind == "rename" and now == targets[0] else now

        self.undoable.append((earlier, carry))

    @rule(old=st.sampled_from(NAMES), new=st.sampled_from(NAMES))
    def rename(self, old, new) -> None:
        self.change("rename", (old,), (new,), lambda: self.meaning.replace_name(old, new))

    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1, max_size=3), into=st.sampled_from(NAMES))
    def merge(self, names, into) -> None:
        def applied() -> None:
            for name in sorted(names - {into}):
                self.meaning.replace_name(name, into)

        self.change("merge", tuple(sorted(names)), (into,), applied)

    @rule(name=st.sampled_from(NAMES), parts=st.sets(st.sampled_from(NAMES), min_size=2, max_size=2))
    def split(self, name, parts) -> None:
        into = tuple(sorted(parts))
        self.change("split", (name,), into, lambda: self.meaning.parts.update({name: into}))

    @rule(name=st.sampled_from(NAMES))
    def retire(self, name) -> None:
        def applied() -> None:
            self.meaning.retired |= {name}

        self.change("retire", (name,), (), applied)

    @rule(name=st.sampled_from(NAMES))
    def restore(self, name) -> None:
        def applied() -> None:
            self.meaning.retired -= {name}

        self.change("restore", (name,), (), applied)

    @rule(name=st.sampled_from(NAMES), parent=st.sampled_from((*NAMES, "top", "")))
    def move(self, name, parent) -> None:
        self.change("move", (name,), (parent,) if parent else (), lambda: None)

    @rule()
    def undo(self) -> None:
        if not self.undoable:
            with pytest.raises(CategoryError, match="no change"):
                changes.undo_change(self.opened, changed_by="test")
            return
        changes.undo_change(self.opened, changed_by="test")
        earlier, carry = self.undoable.pop()
        carry(earlier, self.meaning)
        self.meaning = earlier

    @precondition(lambda self: self.trainable())
    @rule(seed=st.integers(0, 1000))
    def train_and_promote(self, seed) -> None:
        categories = tuple(sorted(self.trainable()))
        outputs = np.random.default_rng(seed).random((ARTICLES, len(categories))).astype(np.float32)
        threshold = None
        if self.kind == "single":
            outputs /= outputs.sum(axis=1, keepdims=True)
            threshold = 0.6 if seed % 4 else None
        model = MemoryModel(f"model{next(_numbers)}", categories, outputs, threshold)
        options = {"threshold": threshold, "backs_off": threshold is not None}
        add_champion(self.opened, self.ids, outputs, name=model.name, categories=categories, **options)
        self.models.append(model)
        self.champions.append(model)

    def trainable(self) -> set[str]:
        names = {self.meaning.of(name) for _, _, answer in self.annotations for name in answer}
        return {name for name in names if name not in self.meaning.retired and name not in self.meaning.parts}

    @rule()
    def roll_back(self) -> None:
        if len(self.champions) < 2:
            return
        target = self.champions[-2]
        run(self.opened.database, "UPDATE models SET status = 'retired' WHERE status = 'champion'")
        run(self.opened.database, "UPDATE models SET status = 'champion' WHERE name = :name", name=target.name)
        self.champions.append(target)

    def in_force(self, article: int) -> tuple[str, ...] | None:
        last = self.last_annotation(article)
        return None if last is None or self.is_split(last) else self.present(last)

    def before_split(self, article: int) -> tuple[str, ...] | None:
        last = self.last_annotation(article)
        return self.present(last) if last is not None and self.is_split(last) else None

    def last_annotation(self, article: int) -> tuple[str, ...] | None:
        return next((answer for each, _, answer in reversed(self.annotations) if each == article), None)

    def predicted(self, article: int) -> dict[str, np.float32] | None:
        if not self.champions:
            return None
        champion = self.champions[-1]
        merged: dict[str, np.float32] = {}
        assigned: set[str] = set()
        for name, probability in zip(champion.categories, champion.probabilities[article], strict=True):
            present = self.meaning.of(name)
            both = (merged.get(present, np.float32(0)), probability)
            merged[present] = both[0] + both[1] if self.kind == "single" else max(both)
            assigned |= {present} if probability >= np.float32(0.5) else set()
        if self.kind == "single":
            best = max(merged, key=lambda name: merged[name])
            return self.climb(champion, article, best, merged[best])
        return {name: merged[name] for name in merged if name in assigned}

    def climb(self, champion: MemoryModel, article: int, label: str, own: np.float32) -> dict[str, np.float32]:
        """Return the label or, below the threshold, its nearest ancestor that reaches it."""
        with self.opened.database.connect() as connection:
            taxonomy = category_rows.taxonomy(connection)
        if champion.threshold is None or own >= np.float32(champion.threshold):
            return {label: own}
        for parent in reversed(taxonomy.path(label)[:-1]):
            below = np.float32(0)
            for name, probability in zip(champion.categories, champion.probabilities[article], strict=True):
                below += probability if parent in taxonomy.path(self.meaning.of(name)) else np.float32(0)
            if below >= np.float32(champion.threshold):
                return {parent: below}
        return {label: own}

    def expected(self, article: int) -> tuple[str | None, dict[str, float | None]]:
        annotated, predicted, former = self.in_force(article), self.predicted(article), self.before_split(article)
        if annotated is None and former is not None:
            of_champion = (
                {self.meaning.of(name) for name in self.champions[-1].categories} if self.champions else {*former}
            )
            if of_champion & {*former} & {*self.meaning.parts}:
                annotated = former
        if annotated is not None:
            return "annotation", dict.fromkeys(annotated)
        return (None, {}) if predicted is None else ("prediction", {name: float(p) for name, p in predicted.items()})

    @invariant()
    def the_labels_are_those_of_the_model_in_memory(self) -> None:
        rows = query(
            self.opened.database,
            "SELECT article_id, origin, label, confidence FROM article_labels WHERE task = :task",
            task=self.opened.task.name,
        )
        shown: dict[int, tuple[str | None, dict[str, float | None]]] = {}
        for article_id, origin, label, confidence in rows:
            labels = shown.setdefault(self.ids.index(article_id), (origin, {}))[1]
            if label is not None:
                assert label not in labels, "no label is shown twice"
                labels[label] = confidence
        expected = {article: self.expected(article) for article in range(ARTICLES)}
        assert {article: (origin, labels.keys()) for article, (origin, labels) in shown.items()} == {
            article: (origin, labels.keys()) for article, (origin, labels) in expected.items()
        }
        for article, (_, labels) in shown.items():
            assert labels == pytest.approx(expected[article][1], abs=1e-6)
        sets = "SELECT article_id, labels FROM article_label_sets WHERE task = :task AND labels IS NOT NULL"
        in_sets = {row[0]: {*row[1]} for row in query(self.opened.database, sets, task=self.opened.task.name)}
        assert in_sets == {self.ids[article]: {*labels} for article, (origin, labels) in shown.items() if origin}

    @invariant()
    def nothing_that_was_recorded_has_changed(self) -> None:
        rows = query(
            self.opened.database,
            "SELECT DISTINCT categories FROM annotations WHERE task_id = :task",
            task=self.opened.task.id,
        )
        assert {tuple(names) for (names,) in rows} <= {answer for _, _, answer in self.annotations}
        stored = query(
            self.opened.database, "SELECT name, categories FROM models WHERE task_id = :task", task=self.opened.task.id
        )
        assert {name: tuple(categories) for name, categories in stored} == {
            model.name: model.categories for model in self.models
        }


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_labels_follow_any_sequence_of_changes(workspace, kind):
    with workspace.database.begin() as connection:
        add_articles(connection, [(f"{number}", f"text {number}", "train") for number in range(ARTICLES)])
    machine = type("Machine", (Categories,), {"workspace": workspace, "kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=[*HealthCheck],
        ),
    )

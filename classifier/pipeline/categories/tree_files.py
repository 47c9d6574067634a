"""Read a tree of categories from a CSV or a SKOS file.

A CSV has the columns `category`, `parent` (empty: at the top) and, if there is one, `description`. A SKOS file is RDF
in any of its common forms: each concept is a category, named by its preferred label, below its first broader concept.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.exceptions import CategoryError
from classifier.names import control_character
from classifier.pipeline.categories.rules import check_parent, checked_name
from classifier.taxonomy import MAX_DEPTH, MAX_DESCRIPTION_LENGTH, Taxonomy

if TYPE_CHECKING:
    from rdflib import Graph, Node

MAX_BYTES = 64 * 2**20
MAX_CATEGORIES = 20_000

_RDF_FORMATS = {".ttl": "turtle", ".rdf": "xml", ".xml": "xml", ".owl": "xml", ".nt": "nt"}
"""Formats whose parsers fetch nothing: JSON-LD may name a context on the web."""


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A category of a file; `where` is its place in the file's own terms. Without a parent it is at the top."""

    where: str
    name: str
    parent: str | None
    description: str = ""


@dataclass(frozen=True, slots=True)
class CategoryTree:
    """The parent of each category of a file, None at the top, and the descriptions, by present name."""

    parents: Mapping[str, str | None]
    descriptions: Mapping[str, str]


def read_nodes(path: Path, *, language: str) -> list[TreeNode]:
    """Read a file; `language` is that of a SKOS file's labels.

    Raises:
        CategoryError: the file cannot be read, has no category or too many, or a value cannot be used.
    """
    if not path.is_file():
        raise CategoryError(f"{path}: no such file")
    if path.stat().st_size > MAX_BYTES:
        raise CategoryError(f"{path}: is larger than {MAX_BYTES // 2**20} MiB; import a part of it")
    rows = _read_csv(path) if path.suffix.lower() == ".csv" else _read_skos(path, language)
    nodes = list(map(_checked, islice(rows, MAX_CATEGORIES + 1)))
    if not nodes:
        raise CategoryError(f"{path}: has no category")
    if len(nodes) > MAX_CATEGORIES:
        raise CategoryError(f"{path}: has more than {MAX_CATEGORIES:,} categories; import a part of it")
    return nodes


def make_tree(nodes: Sequence[TreeNode], taxonomy: Taxonomy) -> CategoryTree:
    """Return the tree of a file in the names of today. Categories that were merged since may be named several times.

    Raises:
        CategoryError: a category has two parents, is below itself, on too deep a level, or below a closed category.
    """
    parents: dict[str, str | None] = {}
    descriptions: dict[str, str] = {}
    where: dict[str, str] = {}
    for node in nodes:
        name, parent = taxonomy.present(node.name), taxonomy.present(node.parent) if node.parent else None
        if name in parents and parents[name] != parent:
            today = "" if name == node.name else f", which is now {name},"
            raise CategoryError(f"{node.where}: {node.name}{today} has another parent in {where[name]}; leave one out")
        if parent is not None:
            check_parent(taxonomy, parent)
        parents[name] = parent
        where.setdefault(name, node.where)
        if node.description:
            descriptions[name] = node.description
    _check_tree(taxonomy, parents, where)
    return CategoryTree(parents, descriptions)


def _read_csv(path: Path) -> Iterator[TreeNode]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"category", "parent"} <= {*(reader.fieldnames or ())}:
                raise CategoryError(f"{path}: needs the columns category and parent; description is optional")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                yield TreeNode(
                    where, row["category"] or "", row["parent"] or None, (row.get("description") or "").strip()
                )
    except (UnicodeDecodeError, csv.Error) as error:
        raise CategoryError(f"{path}: is no CSV in UTF-8 ({error}); save it as one") from error


def _read_skos(path: Path, language: str) -> Iterator[TreeNode]:
    form = _RDF_FORMATS.get(path.suffix.lower())
    if form is None:
        raise CategoryError(f"{path}: unknown format; use .csv, or RDF as {', '.join(_RDF_FORMATS)}")
    try:
        from rdflib import Graph
        from rdflib.namespace import RDF, SKOS
    except ImportError as error:
        raise CategoryError(f"{path}: needs rdflib; install article-classifier[skos], or use a CSV") from error
    graph = Graph()
    try:
        graph.parse(path.read_bytes(), format=form)
    except Exception as error:
        raise CategoryError(f"{path}: cannot be read as RDF ({str(error).splitlines()[0][:100]})") from error
    for concept in sorted(graph.subjects(RDF.type, SKOS.Concept), key=str):
        name = _label(graph, concept, SKOS.prefLabel, language)
        if name is None:
            raise CategoryError(f"{path}: {concept} has no preferred label in {language!r}; name another --language")
        broader = sorted(graph.objects(concept, SKOS.broader), key=str)
        parent = _label(graph, broader[0], SKOS.prefLabel, language) if broader else None
        if broader and parent is None:
            raise CategoryError(
                f"{path}: {broader[0]}, above {name}, has no preferred label in {language!r}; name another --language"
            )
        yield TreeNode(f"{path}, {concept}", name, parent, _label(graph, concept, SKOS.definition, language) or "")


def _label(graph: Graph, concept: Node, kind: Node, language: str) -> str | None:
    """Return a concept's text in a language; `en` is also found as `en-GB`, and a text without a language counts."""
    texts = {
        str(getattr(text, "language", None) or ""): str(text) for text in sorted(graph.objects(concept, kind), key=str)
    }
    exact = [language, *sorted(tag for tag in texts if tag.split("-")[0] == language), ""]
    return next((texts[tag] for tag in exact if tag in texts), None)


def _checked(node: TreeNode) -> TreeNode:
    """Return a node with normalized names."""
    if control := next(filter(None, map(control_character, node.description.split("\n"))), None):
        raise CategoryError(f"{node.where}: the description has the control character {control}; remove it")
    if len(node.description) > MAX_DESCRIPTION_LENGTH:
        raise CategoryError(
            f"{node.where}: the description has {len(node.description):,} characters; at most "
            f"{MAX_DESCRIPTION_LENGTH:,} fit"
        )
    parent = checked_name(node.parent, where=node.where) if node.parent else None
    return replace(node, name=checked_name(node.name, where=node.where), parent=parent)


def _check_tree(taxonomy: Taxonomy, parents: Mapping[str, str | None], where: Mapping[str, str]) -> None:
    """Raise an error if the tree after the import would have a circle, or too many levels."""
    above: dict[str, str | None] = {**taxonomy.parents, **parents}
    for name in above:
        path = [name]
        while (parent := above.get(path[-1])) is not None:
            if parent in path:
                raise CategoryError(
                    f"{where.get(name, name)}: {name} would be below itself: {' < '.join([*path, parent])}"
                )
            path.append(parent)
            if len(path) > MAX_DEPTH:
                raise CategoryError(
                    f"{where.get(name, name)}: {name} would be on level {len(path)}; a tree has {MAX_DEPTH} at most"
                )

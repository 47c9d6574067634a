"""Trees of categories from files."""

from __future__ import annotations

import pytest

from classifier.exceptions import CategoryError
from classifier.pipeline.categories.tree_files import read_tree
from classifier.taxonomy import CategoryChange, Taxonomy, replay

TURTLE = """
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix : <http://example.org/> .
:1 a skos:Concept ; skos:prefLabel "economy"@en-GB, "Wirtschaft"@de .
:2 a skos:Concept ; skos:prefLabel "grain"@en, "Getreide"@de ; skos:broader :1 ; skos:definition "Cereals"@en .
:3 a skos:Concept ; skos:prefLabel "wheat"@en, "Weizen"@de ; skos:broader :2 .
"""


@pytest.fixture
def tree(tmp_path):
    def read(content, name="tree.csv", **options):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return read_tree(path, **{"language": "en", "taxonomy": Taxonomy(), **options})

    return read


def test_a_csv_has_parents_and_descriptions(tree):
    read = tree("category,parent,description\ngrain,,Cereals\nwheat,grain,\ncorn,grain,\n")
    assert (read.parents, read.descriptions, read.categories) == (
        {"wheat": "grain", "corn": "grain"},
        {"grain": "Cereals"},
        3,
    )


@pytest.mark.parametrize(
    ("language", "names"), [("en", ["economy", "grain", "wheat"]), ("de", ["Wirtschaft", "Getreide", "Weizen"])]
)
def test_a_skos_file_is_read_in_a_language(tree, language, names):
    read = tree(TURTLE, "tree.ttl", language=language)
    assert read.parents == {names[1]: names[0], names[2]: names[1]}
    assert read.descriptions == ({"grain": "Cereals"} if language == "en" else {})


def test_former_names_are_those_of_today(tree):
    renamed = replay([CategoryChange("rename", ("grain",), ("cereals",))])
    assert tree("category,parent\nwheat,grain\n", taxonomy=renamed).parents == {"wheat": "cereals"}


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("name,above\na,b\n", "tree.csv", "needs the columns category and parent"),
        ("category,parent\n", "tree.csv", "has no category"),
        ("category,parent\n,b\n", "tree.csv", "line 2: a category's name has 1 to 200 characters"),
        ("category,parent\na,b\na,c\n", "tree.csv", "line 3: a was named before"),
        ("category,parent\na,b\nb,a\n", "tree.csv", "line 2: a would be below itself: a < b < a"),
        ("category,parent\n" + "".join(f"{n},{n + 1}\n" for n in range(7)), "tree.csv", "a tree has 6 at most"),
        (TURTLE, "tree.unknown", "unknown format; use .csv, or RDF as .ttl"),
        ("no turtle", "tree.ttl", "cannot be read as RDF"),
        (TURTLE.replace('"wheat"@en, ', ""), "tree.ttl", "has no preferred label in 'en'; name another --language"),
    ],
)
def test_a_bad_file_is_refused(tree, content, name, message):
    with pytest.raises(CategoryError) as raised:
        tree(content, name)
    assert message in str(raised.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CategoryError, match="no such file"):
        read_tree(tmp_path / "none.csv", language="en", taxonomy=Taxonomy())

"""Trees of categories from files."""

from __future__ import annotations

import pytest

from classifier.exceptions import CategoryError
from classifier.pipeline.categories.tree_files import make_tree, read_nodes
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
        taxonomy = options.pop("taxonomy", Taxonomy())
        return make_tree(read_nodes(path, **{"language": "en", **options}), taxonomy)

    return read


def test_a_csv_has_parents_and_descriptions(tree):
    read = tree("category,parent,description\ngrain,,Cereals\nwheat,grain,\ncorn,grain,\n")
    assert read.parents == {"grain": None, "wheat": "grain", "corn": "grain"}
    assert read.descriptions == {"grain": "Cereals"}


@pytest.mark.parametrize(
    ("language", "names"), [("en", ["economy", "grain", "wheat"]), ("de", ["Wirtschaft", "Getreide", "Weizen"])]
)
def test_a_skos_file_is_read_in_a_language(tree, language, names):
    read = tree(TURTLE, "tree.ttl", language=language)
    assert read.parents == {names[0]: None, names[1]: names[0], names[2]: names[1]}
    assert read.descriptions == ({"grain": "Cereals"} if language == "en" else {})


def test_former_names_are_those_of_today(tree):
    renamed = replay([CategoryChange("rename", ("grain",), ("cereals",))])
    assert tree("category,parent\nwheat,grain\n", taxonomy=renamed).parents == {"wheat": "cereals"}


def test_a_file_may_name_both_parts_of_a_merged_category(tree):
    merged = replay([CategoryChange("merge", ("wheat", "corn"), ("grain",))])
    assert tree("category,parent\nwheat,food\ncorn,food\n", taxonomy=merged).parents == {"grain": "food"}
    with pytest.raises(CategoryError, match=r"line 3: corn, which is now grain, has another parent in .* line 2"):
        tree("category,parent\nwheat,food\ncorn,\n", taxonomy=merged)


def test_a_closed_category_is_no_parent(tree):
    with pytest.raises(CategoryError, match="grain: was retired"):
        tree("category,parent\nwheat,grain\n", taxonomy=replay([CategoryChange("retire", ("grain",))]))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("name,above\na,b\n", "tree.csv", "needs the columns category and parent"),
        ("category,parent\n", "tree.csv", "has no category"),
        ("category,parent\n,b\n", "tree.csv", "line 2: '': a category's name has 1 to 200 characters"),
        ("category,parent\na,b\na,c\n", "tree.csv", "line 3: a has another parent in"),
        ("category,parent\na,b\nb,a\n", "tree.csv", "line 2: a would be below itself: a < b < a"),
        ("category,parent\n" + "".join(f"{n},{n + 1}\n" for n in range(7)), "tree.csv", "a tree has 6 at most"),
        ("category,parent,description\na,b,x\0y\n", "tree.csv", "line 2: the description has the control character"),
        (f"category,parent,description\na,b,{'x' * 2001}\n", "tree.csv", "the description has 2,001 characters"),
        (TURTLE, "tree.unknown", "unknown format; use .csv, or RDF as .ttl"),
        ("no turtle", "tree.ttl", "cannot be read as RDF"),
        (
            TURTLE.replace('"grain"@en, ', "").replace("; skos:broader :1 ;", ";").replace(":2 a", ":9 a"),
            "tree.ttl",
            "has no preferred label in 'en'",
        ),
        (TURTLE.replace('"wheat"@en, ', ""), "tree.ttl", "has no preferred label in 'en'; name another --language"),
    ],
)
def test_a_bad_file_is_refused(tree, content, name, message):
    with pytest.raises(CategoryError) as raised:
        tree(content, name)
    assert message in str(raised.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CategoryError, match="no such file"):
        read_nodes(tmp_path / "none.csv", language="en")

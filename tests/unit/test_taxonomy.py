"""What the recorded names of categories mean after changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.exceptions import CategoryError
from classifier.pipeline.categories.rules import check_change
from classifier.taxonomy import MAX_DEPTH, CategoryChange, Taxonomy, encode_tree, last_counting, replay

UNDO = CategoryChange("undo", ())


def rename(old, new):
    return CategoryChange("rename", (old,), (new,))


def merge(*names, into):
    return CategoryChange("merge", names, (into,))


def move(*names, below=None):
    return CategoryChange("move", names, (below,) if below else ())


class TestNames:
    def test_a_renamed_category_has_its_new_name_under_all_former_ones(self):
        taxonomy = replay([rename("a", "b"), rename("b", "c")])
        assert [taxonomy.present(name) for name in "abcd"] == ["c", "c", "c", "d"]
        assert taxonomy.former_names() == {"c": ("a", "b")}

    def test_a_category_can_have_its_first_name_again(self):
        taxonomy = replay([rename("a", "b"), rename("b", "a")])
        assert (taxonomy.present("a"), taxonomy.present("b")) == ("a", "a")

    def test_merged_categories_have_one_name(self):
        taxonomy = replay([rename("a", "b"), merge("b", "c", into="d")])
        assert [taxonomy.present(name) for name in "abcd"] == ["d"] * 4
        assert taxonomy.merged == {"a", "b", "c"}

    def test_a_category_that_takes_others_in_keeps_what_is_said_of_it(self):
        taxonomy = replay([CategoryChange("describe", ("a",), description="of a"), merge("b", into="a")])
        assert taxonomy.descriptions == {"a": "of a"}
        assert taxonomy.merged == {"b"}

    def test_states_and_descriptions_follow_a_rename(self):
        described = CategoryChange("describe", ("a",), description="first")
        split = CategoryChange("split", ("x",), ("a", "y"))
        taxonomy = replay([described, split, rename("a", "b"), CategoryChange("retire", ("b",)), rename("b", "c")])
        assert taxonomy.descriptions == {"c": "first"}
        assert taxonomy.splits == {"x": ("c", "y")}
        assert (taxonomy.state("c"), taxonomy.state("x"), taxonomy.state("y")) == ("retired", "split", "active")
        assert taxonomy.active(["a", "x", "y", "z"]) == {"y", "z"}


class TestUndo:
    def test_the_last_change_that_counts_is_taken_back(self):
        history = [rename("a", "b"), CategoryChange("retire", ("x",)), UNDO]
        assert last_counting(history) == history[0]
        assert last_counting([*history, UNDO]) is None
        assert replay(history).retired == frozenset()

    def test_a_name_that_a_rename_brought_stays_a_name_of_the_category(self):
        """Articles that were annotated with the new name meanwhile belong to the category under its old name."""
        taxonomy = replay([rename("a", "b"), UNDO])
        assert (taxonomy.present("a"), taxonomy.present("b")) == ("a", "a")

    def test_names_of_several_renames_stay_names_of_the_category(self):
        taxonomy = replay([rename("a", "b"), rename("b", "c"), UNDO, UNDO])
        assert [taxonomy.present(name) for name in "abc"] == ["a", "a", "a"]

    def test_merged_categories_are_apart_again(self):
        taxonomy = replay([merge("a", "b", into="c"), UNDO])
        assert [taxonomy.present(name) for name in "abc"] == ["a", "b", "c"]
        assert not taxonomy.merged

    def test_a_later_name_of_a_merged_category_stays_its_name(self):
        taxonomy = replay([merge("a", "b", into="c"), rename("c", "d"), UNDO, UNDO])
        assert [taxonomy.present(name) for name in "abcd"] == ["a", "b", "c", "c"]

    def test_an_undo_without_a_change_changes_nothing(self):
        assert replay([UNDO]) == Taxonomy()


class TestTree:
    def test_a_path_begins_at_the_top(self):
        taxonomy = replay([move("wheat", "corn", below="grain"), move("grain", below="crops")])
        assert taxonomy.path("wheat") == ("crops", "grain", "wheat")
        assert taxonomy.depth() == 3

    def test_a_tree_follows_renames_and_merges(self):
        moves = [move("wheat", "corn", below="grain")]
        assert replay([*moves, rename("grain", "cereals")]).path("corn") == ("cereals", "corn")
        merged = replay([*moves, move("rice", below="rest"), merge("grain", "rest", into="grain")])
        assert merged.path("rice") == ("grain", "rice")

    def test_a_category_that_takes_its_parent_in_has_its_place(self):
        moves = [move("wheat", below="grain"), move("grain", below="food"), move("corn", below="grain")]
        merged = replay([*moves, merge("grain", "wheat", into="wheat")])
        assert (merged.path("wheat"), merged.path("corn")) == (("food", "wheat"), ("food", "wheat", "corn"))
        assert replay([moves[0], merge("grain", "wheat", into="wheat")]).path("wheat") == ("wheat",)

    def test_what_is_between_merged_categories_is_below_them(self):
        moves = [move("wheat", below="cereals"), move("cereals", below="grain"), move("grain", below="food")]
        merged = replay([*moves, merge("grain", "wheat", into="wheat")])
        assert merged.path("cereals") == ("food", "wheat", "cereals")

    def test_a_new_category_has_the_place_of_its_parts_and_one_at_the_top_stays_there(self):
        moves = [move("wheat", "corn", below="food"), move("rice", below="other")]
        assert replay([*moves, merge("wheat", "corn", into="grain")]).path("grain") == ("food", "grain")
        assert replay([*moves, merge("wheat", "tech", into="tech")]).path("tech") == ("tech",)

    def test_an_import_moves_a_category_without_a_parent_to_the_top(self):
        tree = encode_tree({"a": None, "b": "a"}, {"a": "of a"})
        taxonomy = replay([move("a", below="b"), CategoryChange("import", ("a", "b"), description=tree)])
        assert (taxonomy.path("b"), taxonomy.descriptions) == (("a", "b"), {"a": "of a"})

    @given(st.lists(st.tuples(st.sampled_from(["move", "merge"]), st.sets(st.sampled_from("abcdefgh"), min_size=1,
           max_size=3), st.sampled_from("abcdefgh")), max_size=12))  # fmt: skip
    def test_no_sequence_of_possible_changes_makes_a_circle_or_too_many_levels(self, steps):
        taxonomy, existing = Taxonomy(), set("abcdefgh")
        for kind, names, target in steps:
            try:
                change = check_change(taxonomy, existing, CategoryChange(kind, tuple(sorted(names)), (target,)))
            except CategoryError:
                continue
            taxonomy = taxonomy.apply(change)
            existing = {taxonomy.present(name) for name in existing}
            assert taxonomy.depth() <= MAX_DEPTH
            assert {*taxonomy.parents, *taxonomy.parents.values()} <= existing

    def test_without_a_parent_a_category_is_at_the_top_again(self):
        assert replay([move("wheat", below="grain"), move("wheat")]).path("wheat") == ("wheat",)


EXISTING = {"a", "b", "c", "old", "x", "y"}
TAXONOMY = replay([
    rename("former", "c"),
    CategoryChange("retire", ("old",)),
    CategoryChange("split", ("x",), ("a", "b")),
])
CHAIN = replay([move(f"n{level + 1}", below=f"n{level}") for level in range(MAX_DEPTH - 1)])


class TestRules:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (rename("aa", "z"), "aa: no such category; did you mean a"),
            (rename("former", "z"), "former: is a former name of c; use the present name"),
            (rename("a", "a"), "a: has this name already"),
            (rename("a", "b"), "b: is another category; to make one of both, run: classifier categories merge"),
            (rename("a", "former"), "former: is a former name of c; choose another name"),
            (rename("old", "z"), "old: was retired; run first: classifier categories restore"),
            (rename("x", "z"), "x: was split into a, b; it cannot be changed any more"),
            (merge("a", into="a"), "a: a merge needs two categories"),
            (merge("a", into="z"), "z: no such category to merge into; to rename one"),
            (merge("a", into="old"), "old: was retired"),
            (merge("a", "b", into="former"), "former: is a former name of c"),
            (CategoryChange("split", ("a",), ("z",)), "a: a split needs two or more other categories"),
            (CategoryChange("split", ("a",), ("a", "z")), "a: a split needs two or more other categories"),
            (CategoryChange("split", ("a",), ("former", "z")), "former: is a former name of c"),
            (CategoryChange("restore", ("a",)), "a: was not retired"),
            (move("a", below="a"), "a: cannot be moved below a, which is a itself or one of its descendants"),
            (move("a", below="old"), "old: was retired"),
            (move("a", below="x"), "x: was split into a, b"),
        ],
    )
    def test_an_impossible_change_is_refused(self, change, message):
        with pytest.raises(CategoryError) as raised:
            check_change(TAXONOMY, EXISTING, change)
        assert message in str(raised.value)

    def test_a_category_may_take_its_own_former_name_again(self):
        check_change(TAXONOMY, EXISTING, rename("c", "former"))

    def test_the_last_category_is_not_retired(self):
        with pytest.raises(CategoryError, match="is the only category in use"):
            check_change(Taxonomy(), {"a"}, CategoryChange("retire", ("a",)))

    def test_a_tree_has_no_circle(self):
        with pytest.raises(CategoryError, match="n0: cannot be moved below n2, which is n0 itself"):
            check_change(CHAIN, {f"n{n}" for n in range(MAX_DEPTH)}, move("n0", below="n2"))

    def test_a_tree_has_a_depth(self):
        with pytest.raises(CategoryError, match=f"more than {MAX_DEPTH} levels"):
            check_change(CHAIN, {*(f"n{n}" for n in range(MAX_DEPTH)), "a"}, move("a", below=f"n{MAX_DEPTH - 1}"))

"""The page of categories, as users use it without JavaScript: the tree, changes in two steps, and the history."""

from __future__ import annotations

import re
from html import unescape

import pytest

from classifier.pipeline.categories import changes, overview
from classifier.pipeline.database import tasks
from tests.support.multi_label import add_champion, add_task
from tests.support.synthetic import add_articles, annotate

pytestmark = pytest.mark.filterwarnings("default")

EVIL = '"><script>alert(1)</script>&'
ANNOTATED = ("wheat", "wheat", "corn", "oats", "oats", "oats", EVIL)


@pytest.fixture
def grains(workspace):
    """Annotated articles of four categories; the champion knows neither oats nor a category with a hostile name."""
    with workspace.database.begin() as connection:
        splits = ("train", "validation", "test")
        ids = add_articles(connection, [(f"a{n}", f"text {n} here", splits[n % 3]) for n in range(len(ANNOTATED))])
        for article_id, category in zip(ids, ANNOTATED, strict=True):
            annotate(connection, article_id, category, "ann" if category == "corn" else "source:s")
    names = ("barley", "corn", "wheat")
    add_champion(workspace, ids, [[0.1, 0.1, 0.8]] * len(ids), categories=names)
    return workspace


def fields(page, action):
    """Return what a browser would send with the form of this action."""
    form = re.search(rf'<form[^>]* action="/classifier{action}[^"]*">(.*?)</form>', page, re.DOTALL)[1]
    inputs = dict(re.findall(r'<input (?:type="hidden" )?name="(\w+)" value="([^"]*)"', form))
    texts = dict(re.findall(r'<textarea name="(\w+)"[^>]*>([^<]*)</textarea>', form))
    return {name: unescape(value) for name, value in (inputs | texts).items()}


@pytest.fixture
def open_form(ask):
    """Open a form for checked categories, and return what a browser would send after the user has filled it in."""

    def opened(change, *names, query="", **filled):
        page = ask("/categories" + query, "user", params={"change": change, "name": names}).text
        return fields(page, "/categories/preview") | {"reason": "the desk asked for it"} | filled

    return opened


@pytest.fixture
def send(ask):
    """Send a form as a user."""

    def sent(action, form, role="user", query=""):
        return ask(f"/categories/{action}{query}", role, method="POST", data=form)

    return sent


def rows(page):
    """Return the text of each row of the list."""
    table = re.search(r'<table class="tree">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    listed = re.findall(r"<tr>(.*?)</tr>", table[1], re.DOTALL) if table else []
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in listed]


def error_of(page):
    return unescape(re.search(r'<p class="message bad" role="alert">([^<]*)</p>', page)[1])


class TestList:
    @pytest.mark.usefixtures("grains")
    def test_it_shows_numbers_and_what_the_champion_knows(self, ask):
        page = ask("/categories").text
        assert rows(page) == [f"{EVIL} 1 1 0 0 no", "barley 0 0 0 0 yes", "corn 1 0 0 1 yes", "oats 3 1 1 1 no",
                              "wheat 2 1 1 0 yes"]  # fmt: skip
        assert "<script>" not in page
        assert "the champion does not know 2 categories with annotated articles" in page
        assert "<strong>oats</strong> (3 articles)" in page

    def test_it_is_a_tree_with_former_names_and_descriptions(self, ask, grains):
        changes.change_categories(grains, "move", ["wheat", "corn"], ["grain"], changed_by="ann")
        changes.change_categories(grains, "rename", ["wheat"], ["Wheat"], changed_by="ann")
        changes.change_categories(grains, "describe", ["corn"], description="Maize <i>only</i>", changed_by="ann")
        page = ask("/categories").text
        assert [row for row in rows(page) if row.split()[0] in {"grain", "Wheat", "corn"}] == [
            "grain 0 0 0 0 no", "Wheat formerly wheat 2 1 1 0 yes", "corn Maize <i>only</i> 1 0 0 1 yes",
        ]  # fmt: skip
        assert page.count('class="depth1"') == 2
        assert rows(ask("/categories?find=MAIZE").text) == ["grain / corn Maize <i>only</i> 1 0 0 1 yes"]
        assert rows(ask("/categories?find=wheat").text) == ["grain / Wheat formerly wheat 2 1 1 0 yes"]
        assert "No category matches" in ask("/categories?find=zinc").text

    def test_retired_and_split_categories_are_shown_on_demand(self, ask, grains):
        changes.change_categories(grains, "retire", ["corn"], changed_by="ann")
        changes.change_categories(grains, "split", ["oats"], ["rolled oats", "oat milk"], changed_by="ann")
        assert not any("oats 3" in row or "corn" in row for row in rows(ask("/categories").text))
        listed = rows(ask("/categories?closed=1").text)
        assert "corn retired 1 0 0 1 -" in listed
        assert any(row.startswith("oats split into rolled oats, oat milk") for row in listed)

    @pytest.mark.usefixtures("grains")
    def test_checked_categories_stay_checked_in_a_search_for_others(self, ask):
        page = ask("/categories?find=corn&name=wheat", "user").text
        assert rows(page) == ["wheat 2 1 1 0 yes", "corn 1 0 0 1 yes"]
        assert page.count('name="name" value="wheat" checked') == 1

    def test_of_a_thousand_a_part_is_shown_with_the_number_of_the_others(self, ask, grains):
        names = [f"place {number:04d}" for number in range(1_000)]
        add_champion(grains, [], [], name="t2", categories=names)
        first, last = ask("/categories").text, ask("/categories?start=1000").text
        assert len(rows(first)) == 200
        assert "and 805 more" in first
        assert rows(last)[0].startswith("place 0996")
        assert "Next</button>" not in last

    @pytest.mark.usefixtures("workspace")
    def test_a_tree_that_was_imported_meanwhile_is_the_last_change(self, ask, grains, tmp_path):
        (tmp_path / "tree.csv").write_text("category,parent\ncorn,cereals\n", encoding="utf-8")
        changes.import_tree(grains, tmp_path / "tree.csv", changed_by="bob")
        page = ask("/categories?done=changed")
        assert page.status_code == 200
        assert "labels and annotations stay" in page.text
        assert ask("/categories?change=import", "user").status_code == 422, "there is no form for it"

    def test_without_categories_it_says_what_to_do(self, ask):
        page = ask("/categories", "user").text
        assert "Annotations bring them" in page
        assert "No category has been changed." in page

    @pytest.mark.usefixtures("grains")
    def test_a_viewer_reads_but_has_no_form(self, ask):
        for query in ("", "?change=retire&name=corn"):
            page = ask(f"/categories{query}", "viewer").text
            assert 'method="post"' not in page
            assert "checkbox" not in page
            assert "but not change them" in page


class TestChanges:
    def test_a_preview_changes_nothing_and_the_second_step_applies_it(self, grains, open_form, send, ask):
        form = open_form("merge", "corn", "wheat", targets="grain")
        assert form["names"] == "corn\nwheat"
        previewed = send("preview", form)
        assert previewed.status_code == 200
        assert "corn, wheat merged into grain" in previewed.text
        assert re.search(r"Annotated articles</dt><dd>3\s*<small>of them, people annotated 1", previewed.text)
        assert re.search(r"Labels of the champion</dt><dd>7", previewed.text)
        assert re.search(r"together</th><td>3</td><td>1</td><td>1</td><td>1</td>", previewed.text)
        assert overview.read_history(grains) == []
        answer = send("apply", fields(previewed.text, "/categories/apply"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/classifier/categories?done=changed")
        (change,) = overview.read_history(grains)
        assert (change.change, change.changed_by) == ("corn, wheat merged into grain", "ada the user")
        assert change.reason == "the desk asked for it"
        page = ask("/categories?done=changed", "user").text
        assert "Done: corn, wheat merged into grain." in page
        assert "grain formerly corn, wheat 3 1 1 1 yes" in rows(page)

    @pytest.mark.parametrize(
        ("change", "names", "filled", "words"),
        [
            ("rename", ["corn"], {"targets": "maize"}, "corn is now named maize"),
            ("split", ["oats"], {"targets": "a\r\n b \r\n\r\n"}, "oats split into a, b"),
            ("retire", [EVIL], {}, f"{EVIL} retired"),
            ("describe", ["corn"], {"description": "Maize"}, "corn described"),
            ("move", ["corn", "wheat"], {"targets": "grain"}, "corn, wheat moved below grain"),
            ("move", ["corn"], {}, "corn moved to the top"),
        ],
    )
    def test_each_kind_of_change(self, grains, open_form, send, change, names, filled, words):
        previewed = send("preview", open_form(change, *names, **filled))
        assert words in unescape(previewed.text)
        assert send("apply", fields(previewed.text, "/categories/apply")).status_code == 303
        assert overview.read_history(grains)[0].change == words

    def test_a_retired_category_is_restored_and_the_last_change_is_undone(self, grains, open_form, send, ask):
        changes.change_categories(grains, "retire", ["corn"], changed_by="ann", reason="too small")
        assert send("apply", open_form("restore", "corn")).status_code == 303
        previewed = send("preview", open_form("undo"))
        assert "taken back: corn restored" in previewed.text
        assert send("apply", fields(previewed.text, "/categories/apply")).status_code == 303
        assert overview.show_category(grains, "corn").state == "retired"
        page = ask("/categories", "user").text
        history = [
            " ".join(re.sub(r"<[^>]+>", " ", item).split())
            for item in re.findall(r"<li(?: class=\"undone\")?>(.*?)</li>", page, re.DOTALL)
        ]
        assert [item.partition(" 20")[0] for item in history] == [
            "taken back: corn restored", "corn restored taken back", "corn retired",
        ]  # fmt: skip
        assert history[2].endswith("by ann too small")

    @pytest.mark.parametrize(
        ("change", "filled", "says"),
        [
            ("rename", {"names": "zinc", "targets": "z"}, "zinc: no such category; see: classifier categories list"),
            ("rename", {"names": "corn", "targets": ""}, "new name: write a category's name"),
            ("rename", {"names": "corn", "targets": "wheat"}, "wheat: is another category; to make one of both"),
            ("rename", {"names": "corn\nwheat", "targets": "x"}, "category: write one name only"),
            ("rename", {"names": "corn", "targets": "a\0b"}, "has the control character U+0000"),
            ("rename", {"names": "corn", "targets": "x" * 201}, "a category's name has 1 to 200 characters"),
            ("merge", {"names": "\n", "targets": "x"}, "categories: write a category's name"),
            ("split", {"names": "oats", "targets": "a"}, "into: write 2 or more categories, one a line"),
            ("describe", {"names": "corn", "description": "x" * 2001}, "the description has 2,001 characters"),
            ("retire", {"names": "corn", "reason": " "}, "reason: too short; write why"),
            ("retire", {"names": "corn", "reason": "why\0"}, "reason: has the control character U+0000"),
            ("undo", {}, "no change of its categories to take back"),
        ],
    )
    @pytest.mark.parametrize("action", ["preview", "apply"])
    def test_a_mistake_is_one_line_and_keeps_what_was_typed(self, grains, send, action, change, filled, says):
        answer = send(action, {"change": change, "seen": "0", "reason": "because", **filled})
        assert answer.status_code == 409
        assert says in error_of(answer.text)
        kept = fields(answer.text, "/categories/preview")
        assert {name: value for name, value in filled.items() if kept[name] != value} == {}
        assert "Apply</button>" not in answer.text
        assert overview.read_history(grains) == []

    @pytest.mark.parametrize("action", ["preview", "apply"])
    @pytest.mark.parametrize("change", ["undo", "retire"])
    def test_a_form_that_was_opened_before_a_newer_change_applies_nothing(
        self, grains, open_form, send, action, change
    ):
        changes.change_categories(grains, "retire", ["oats"], changed_by="ann")
        form = open_form(change, *(["corn"] if change == "retire" else []))
        changes.change_categories(grains, "move", ["corn"], ["grain"], changed_by="bob")
        answer = send(action, form)
        assert answer.status_code == 409
        assert error_of(answer.text) == (
            "the categories have changed since this was opened: corn moved below grain, by bob; preview it again"
        )
        assert [each.change for each in overview.read_history(grains)] == ["corn moved below grain", "oats retired"]
        again = fields(answer.text, "/categories/preview")
        assert send("preview", again).status_code == 200, "the page shows the newer change"

    def test_applying_twice_changes_once(self, grains, open_form, send):
        form = open_form("move", "corn", targets="grain")
        assert [send("apply", form).status_code for _ in range(2)] == [303, 409]
        assert len(overview.read_history(grains)) == 1

    @pytest.mark.usefixtures("grains")
    @pytest.mark.parametrize("field", [{"change": "destroy"}, {"seen": "x"}, {"seen": "-1"}])
    def test_an_invalid_form_is_refused(self, send, field):
        assert send("apply", {"change": "retire", "names": "corn", "reason": "why", **field}).status_code == 422


class TestTasks:
    def test_a_change_is_of_the_shown_task_and_keeps_it(self, grains, open_form, send, ask):
        topics = add_task(grains, "topics")
        first = next(task.task for task in tasks.list_summaries(grains) if task.task != "topics")
        grains = grains.with_task(first)
        with topics.database.begin() as connection:
            ids = add_articles(connection, [("x1", "a text", "train")])
        add_champion(topics, ids, [[0.9, 0.9, 0.1]], name="topics-1")
        form = open_form("merge", "gold", "ship", query="?task=topics", targets="gold")
        previewed = send("preview", form, query="?task=topics")
        assert "together, at most" in previewed.text
        assert '<input type="hidden" name="task" value="topics">' in previewed.text, "a search stays with the task"
        answer = send("apply", fields(previewed.text, "/categories/apply"), query="?task=topics")
        assert answer.headers["location"] == "/classifier/categories?done=changed&task=topics"
        assert len(overview.read_history(topics)) == 1
        assert overview.read_history(grains) == []
        assert ask("/categories?task=topics").text.count("merged into gold") == 1

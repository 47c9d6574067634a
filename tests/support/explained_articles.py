"""A few annotated articles of three topics, and an ensemble that knows their words, for tests and pictures."""

from __future__ import annotations

import re

from sqlalchemy import text

from classifier import registry
from classifier.model import linear
from classifier.model.ensemble import Ensemble, EnsembleWeights
from classifier.pipeline.labelling import queue
from classifier.pipeline.review import review_queue
from classifier.store import model_rows
from classifier.workspace import Workspace
from tests.support.synthetic import add_articles, annotate, enqueue, run
from tests.support.tiny_models import make_lexicon_artefact

LEXICON = {
    "business": ("bank", "shares", "profit", "market", "stadium", "sponsor", "price", "prices", "investors", "revenue"),
    "sport": ("striker", "goal", "goals", "cup", "final", "coach", "season", "champions", "match", "injury", "league"),
    "tech": ("software", "phone", "chip", "network", "data", "camera", "video", "computer", "engineers"),
}
ANNOTATED = {
    "sport": (
        ("Late goal decides the final", "A goal in the last minute won the cup final for the home team."),
        ("Coach praises young striker", "The coach said that the striker may play every match of the season."),
        ("Champions lose again", "The champions lost the third match of the league in a row, without a goal."),
    ),
    "business": (
        ("Bank raises its forecast", "Shares of the bank rose after its profit was larger than the market expected."),
        ("Club sells its stadium", "Investors paid a high price for the stadium, and the sponsor keeps its name."),
        ("Revenue falls", "Revenue of the retailer fell, and investors sold their shares."),
    ),
    "tech": (
        ("A camera that measures", "Engineers built a camera that sends its data over the network of the phone."),
        ("New chip for phones", "The chip computes video faster than the computer of last year, engineers say."),
        ("Software update", "The update of the phone's software failed, and data were lost."),
    ),
}
TITLE = "Striker returns for the final, and the club for the market"
TEXT = (
    "The striker is back. After five months without a match, she trained with the team on Monday, and her coach "
    "expects her to play the cup final on Saturday. “She looks as sharp as before the injury,” said the coach.\n\n"
    "The club could use her goals. It has lost four of its last six games, and fell to the seventh place of the "
    "league. Its shares fell too: investors had hoped for a place among the champions, and for the revenue that comes "
    "with it. The bank that lent money for the new stadium wants to see a plan by the end of the season.\n\n"
    "A camera above the training ground follows every player, and engineers turn the video into data. They say that "
    "she runs as far as last year."
)


def make_ensemble_model(workspace: Workspace, name: str = "m1", *, read_title: bool = True) -> None:
    """Make an ensemble the champion: a network that knows the words of `LEXICON`, and a linear classifier."""
    texts = [f"{title} {content}" for articles in ANNOTATED.values() for title, content in articles]
    truth = [category for category, articles in ANNOTATED.items() for _ in articles]
    members = Ensemble(linear.fit_linear(texts, truth), EnsembleWeights(0.5, 2.5))
    words = sorted({word for read in (*texts, TITLE, TEXT) for word in re.findall(r"\w+|[^\w\s]", read.lower())})
    files = make_lexicon_artefact(
        workspace.models / name,
        {category: LEXICON[category] for category in sorted(LEXICON)},
        neutral=words,
        positions=256,
        strength=60.0,
        ensemble=members,
        read_title=read_title,
    )
    with workspace.database.begin() as connection:
        model = registry.register(connection, name, files, {})
        model_rows.make_champion(connection, model.id)


def add_explained_articles(workspace: Workspace) -> tuple[int, int]:
    """Add the annotated articles, and two that wait for review: the second was drawn at random. Return their ids."""
    make_ensemble_model(workspace)
    with workspace.database.begin() as connection:
        for category, articles in ANNOTATED.items():
            rows = [(f"{category}-{number}", content, "train") for number, (_, content) in enumerate(articles)]
            for (title, _), article_id in zip(articles, add_articles(connection, rows, source="news"), strict=True):
                annotate(connection, article_id, category)
                set_title(connection, article_id, title)
        first, second = add_articles(
            connection,
            [("2024-117", TEXT, "train"), ("2024-118", "The match was cancelled.", "train")],
            source="news",
        )
        set_title(connection, first, TITLE)
        enqueue(connection, [first, second])
    queue.label_queue(workspace, engine="openvino")
    review_queue.fill_queue(workspace, number=2, audit=0)
    run(workspace.database, "UPDATE review_queue SET reason = 'audit' WHERE article_id = :id", id=second)
    return first, second


def set_title(connection, article_id: int, title: str) -> None:
    """Give an article a title."""
    connection.execute(text("UPDATE articles SET title = :title WHERE id = :id"), {"title": title, "id": article_id})

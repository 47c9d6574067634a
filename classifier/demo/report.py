"""What the demo prints at its end: figures of the database, told plainly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from classifier.demo.display import duration
from classifier.pipeline.monitoring import status
from classifier.pipeline.monitoring.status import Status
from classifier.pipeline.promotion.evaluation import MAX_P
from classifier.store import evaluations, model_rows, views
from classifier.workspace import Workspace

INCOMING = "r8-incoming"
"""The source of the incoming rows: the stem of their file."""

QUERIES = (
    "SELECT label, origin, count(*) FROM article_labels GROUP BY label, origin ORDER BY label, origin",
    "SELECT round(confidence::numeric, 1) AS sure, count(*) FROM article_labels WHERE origin = 'prediction' GROUP BY 1",
    "SELECT label, confidence, left(text, 60) FROM article_labels JOIN articles ON id = article_id ORDER BY 2 LIMIT 9",
)


@dataclass(frozen=True, slots=True)
class DemoScores:
    """Accuracy and macro-F1 on the hold-out."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True, slots=True)
class HoldOut:
    """A model's scores beside the baseline's, on the same test articles.

    `baseline_p` is the exact p-value of McNemar's test for equal accuracy, None where it was not computed.
    """

    model: str
    articles: int
    scores: DemoScores
    baseline: DemoScores
    baseline_p: float | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """What became of the rows that came without a category."""

    rows: int
    labelled: int
    right: int


@dataclass(frozen=True, slots=True)
class Speed:
    """What this demo's labelling tasks did; the seconds leave out loading the model."""

    articles: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """All that the demo has to say about the data."""

    status: Status
    champion: HoldOut
    candidate: HoldOut | None
    """This demo's model, where it did not become the champion."""
    incoming: Incoming
    speed: Speed

    @property
    def complete(self) -> bool:
        """Whether every incoming row has a label."""
        return self.incoming.labelled == self.incoming.rows


def gather(workspace: Workspace, answers: Mapping[str, str], candidate: str, speed: Speed) -> Report:
    """Read the figures of the champion, the candidate and the incoming rows."""
    found = status.read_status(workspace)
    if found.champion is None:
        raise AssertionError("a demo without a champion does not come to its report")
    labels = views.article_labels.c
    statement = select(labels.external_id, labels.label).where(labels.source == INCOMING, labels.label.is_not(None))
    with workspace.database.connect() as connection:
        given = {external_id: label for external_id, label in connection.execute(statement) if external_id in answers}
    right = sum(answers[external_id] == label for external_id, label in given.items())
    return Report(
        status=found,
        champion=_hold_out(workspace, found.champion.name),
        candidate=None if candidate == found.champion.name else _hold_out(workspace, candidate),
        incoming=Incoming(len(answers), len(given), right),
        speed=speed,
    )


def _hold_out(workspace: Workspace, name: str) -> HoldOut:
    with workspace.database.connect() as connection:
        model = model_rows.by_name(connection, name)
        evaluation = evaluations.newest(connection, model.id) if model else None
    if evaluation is None:
        raise AssertionError(f"{name} has been evaluated by now")
    baseline = evaluation.metrics["baseline"]
    return HoldOut(
        name,
        evaluation.articles,
        DemoScores(evaluation.accuracy, evaluation.macro_f1),
        DemoScores(baseline["accuracy"], baseline["macro_f1"]),
        evaluation.metrics.get("baseline_p"),
    )


def lines(report: Report) -> Iterator[str]:
    """Yield the report's lines."""
    yield "Rows by split          articles  annotated"
    for split in ("train", "validation", "test"):
        articles, annotated = report.status.splits.get(split, (0, 0))
        yield f"  {split:<20} {articles:>8,}  {annotated:>9,}"
    yield f"  rows that were bad   {report.status.rejected_rows:>8,}"
    yield ""
    hold_out = report.champion
    yield f"Hold-out, {hold_out.articles:,} articles    accuracy   macro-F1"
    yield _scores("the champion", hold_out.scores)
    if report.candidate:
        yield _scores("today's candidate", report.candidate.scores)
    yield _scores("TF-IDF + LinearSVC", hold_out.baseline)
    yield f"  {verdict(hold_out)}{chance(hold_out)}"
    if report.candidate:
        yield f"  Today's candidate, {report.candidate.model}, was not promoted; why: classifier promotions"
    yield f"  The champion is {hold_out.model}."
    yield ""
    yield from _incoming(report.incoming, report.speed)


def _scores(name: str, scores: DemoScores) -> str:
    return f"  {name:<26} {scores.accuracy:>8.4f}   {scores.macro_f1:>8.4f}"


def verdict(found: HoldOut) -> str:
    """Say which of the two is ahead, by which measure, and by how much."""
    ahead = {
        name: round(100 * (mine - theirs), 2)
        for name, mine, theirs in (
            ("accuracy", found.scores.accuracy, found.baseline.accuracy),
            ("macro-F1", found.scores.macro_f1, found.baseline.macro_f1),
        )
    }
    wins, losses = ([name for name, by in ahead.items() if by * sign > 0] for sign in (1, -1))
    gaps = " and ".join(f"{abs(by):.2f} points of {name}" for name, by in ahead.items() if by)
    match wins, losses:
        case [], []:
            return "The model and the baseline are level: the baseline is much cheaper."
        case _, []:
            return f"The model is ahead of the baseline by {gaps}."
        case [], _:
            return f"The baseline is ahead of the model by {gaps}, and much cheaper."
        case _:
            return (
                f"The model is ahead by {abs(ahead[wins[0]]):.2f} points of {wins[0]}, "
                f"the baseline by {abs(ahead[losses[0]]):.2f} points of {losses[0]}."
            )


def chance(found: HoldOut) -> str:
    """Return a sentence where the difference in accuracy may be chance, else nothing."""
    if found.baseline_p is None or found.baseline_p <= MAX_P:
        return ""
    return f" The difference in accuracy may be chance (McNemar's exact test: p = {found.baseline_p:.2f})."


def _incoming(found: Incoming, speed: Speed) -> Iterator[str]:
    share = f" ({found.right / found.labelled:.1%})" if found.labelled else ""
    yield f"Incoming: {found.labelled:,} of {found.rows:,} rows have a label, {found.right:,} the right one{share}"
    if speed.articles:
        rate = f"{speed.articles / speed.seconds:,.0f} articles a second" if speed.seconds else "in no time"
        yield f"  {speed.articles:,} were labelled now, in {speed.seconds:.1f} s: {rate}"
    else:
        yield "  The champion had labelled them before: nothing was left to do."


def timings(took: Sequence[tuple[str, float]], total: float) -> Iterator[str]:
    """Yield how long each step took."""
    yield "Time"
    for title, seconds in took:
        yield f"  {title:<44} {duration(seconds):>12}"
    yield f"  {'in all':<44} {duration(total):>12}"


def queries(psql: str, url: str) -> Iterator[str]:
    """Yield queries to try, and the command to type them into."""
    yield "Queries to try while the demo is up, in"
    yield f'  {psql} "{url}"'
    for query in QUERIES:
        yield f"  {query};"

"""The report that the demo prints at its end, from the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from classifier.demo.display import duration
from classifier.pipeline.monitoring import status
from classifier.pipeline.monitoring.status import Status
from classifier.pipeline.promotion.evaluation_figures import MAX_P
from classifier.plurals import plural, verb
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
    """Accuracy and macro-F1 on the test articles."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True, slots=True)
class HoldOut:
    """The scores of a model and of the baseline on the same test articles.

    `baseline_p` is the exact p-value of McNemar's test for equal accuracy, or None if it was not computed.
    """

    model: str
    articles: int
    scores: DemoScores
    baseline: DemoScores
    baseline_p: float | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """How many rows came without a category, how many have a label now, and how many labels are correct."""

    rows: int
    labelled: int
    correct: int


@dataclass(frozen=True, slots=True)
class Speed:
    """The work of this demo's labelling tasks; the seconds exclude loading the model."""

    articles: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of the report; `candidate` is this demo's model if it was not promoted."""

    status: Status
    champion: HoldOut
    candidate: HoldOut | None
    incoming: Incoming
    speed: Speed

    @property
    def complete(self) -> bool:
        """Whether every incoming row has a label."""
        return self.incoming.labelled == self.incoming.rows


def read_report(workspace: Workspace, answers: Mapping[str, str], candidate: str, speed: Speed) -> Report:
    """Return the figures of the champion, of the candidate and of the incoming rows."""
    counts = status.read_status(workspace)
    if counts.champion is None:
        raise AssertionError("the demo has a champion before it reads its report")
    columns = views.article_labels.c
    statement = select(columns.external_id, columns.label).where(columns.source == INCOMING, columns.label.is_not(None))
    with workspace.database.connect() as connection:
        labels = {row_id: label for row_id, label in connection.execute(statement) if row_id in answers}
    correct = sum(answers[row_id] == label for row_id, label in labels.items())
    return Report(
        status=counts,
        champion=_hold_out(workspace, counts.champion.name),
        candidate=None if candidate == counts.champion.name else _hold_out(workspace, candidate),
        incoming=Incoming(len(answers), len(labels), correct),
        speed=speed,
    )


def _hold_out(workspace: Workspace, name: str) -> HoldOut:
    with workspace.database.connect() as connection:
        model = model_rows.by_name(connection, name)
        evaluation = evaluations.newest(connection, model.id) if model else None
    if evaluation is None:
        raise AssertionError(f"the demo evaluates {name} before it reads its report")
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
    yield f"  rejected rows        {report.status.rejected_rows:>8,}"
    yield ""
    hold_out = report.champion
    yield f"{f'{hold_out.articles:,} test articles':<29}accuracy   macro-F1"
    yield _scores("champion", hold_out.scores)
    if report.candidate:
        yield _scores("today's candidate", report.candidate.scores)
    yield _scores("TF-IDF + LinearSVC", hold_out.baseline)
    yield f"  {compare_with_baseline(hold_out)}{describe_chance(hold_out)}"
    if report.candidate:
        yield f"  Today's candidate, {report.candidate.model}, was not promoted; see: classifier promotions"
    yield f"  The champion is {hold_out.model}."
    yield ""
    yield from _incoming(report.incoming, report.speed)


def _scores(name: str, scores: DemoScores) -> str:
    return f"  {name:<26} {scores.accuracy:>8.4f}   {scores.macro_f1:>8.4f}"


def compare_with_baseline(hold_out: HoldOut) -> str:
    """Return a sentence that says whether the model or the baseline scores higher, and by how much."""
    leads = {
        name: round(100 * (model - baseline), 2)
        for name, model, baseline in (
            ("accuracy", hold_out.scores.accuracy, hold_out.baseline.accuracy),
            ("macro-F1", hold_out.scores.macro_f1, hold_out.baseline.macro_f1),
        )
    }
    won, lost = ([name for name, lead in leads.items() if lead * sign > 0] for sign in (1, -1))
    points = {name: f"{abs(lead):.2f} points of {name}" for name, lead in leads.items() if lead}
    match won, lost:
        case [], []:
            return "The model and the baseline score the same, and the baseline is much cheaper."
        case _, []:
            return f"The model is ahead of the baseline by {' and '.join(points.values())}."
        case [], _:
            return f"The baseline is ahead of the model by {' and '.join(points.values())}, and much cheaper."
        case _:
            return f"The model is ahead by {points[won[0]]}, the baseline by {points[lost[0]]}."


def describe_chance(hold_out: HoldOut) -> str:
    """Return a sentence if the difference in accuracy may be chance, else nothing."""
    if hold_out.baseline_p is None or hold_out.baseline_p <= MAX_P:
        return ""
    return f" The difference in accuracy may be chance (McNemar's exact test: p = {hold_out.baseline_p:.2f})."


def _incoming(incoming: Incoming, speed: Speed) -> Iterator[str]:
    accuracy = f" ({incoming.correct / incoming.labelled:.1%})" if incoming.labelled else ""
    counts = f"{incoming.labelled:,} of {incoming.rows:,} rows have a label"
    labels = f"{plural(incoming.correct, 'label')} {verb(incoming.correct, 'is', 'are')}"
    yield f"Incoming rows: {counts}, {labels} correct{accuracy}"
    if speed.articles:
        rate = f"{speed.articles / speed.seconds:,.0f} articles a second" if speed.seconds else "at once"
        yield f"  {speed.articles:,} were labelled in this demo, in {speed.seconds:.1f} s: {rate}"
    else:
        yield "  None was labelled in this demo: the champion had labelled all of them before."


def timings(took: Sequence[tuple[str, float]], total: float) -> Iterator[str]:
    """Yield the duration of each step and of all."""
    yield "Time"
    for title, seconds in took:
        yield f"  {title:<44} {duration(seconds):>12}"
    yield f"  {'total':<44} {duration(total):>12}"


def queries(psql: str, url: str) -> Iterator[str]:
    """Yield queries to try, after the command that opens the database."""
    yield "Queries to try while the demo runs, in"
    yield f'  {psql} "{url}"'
    for query in QUERIES:
        yield f"  {query};"

"""The errors that this library raises deliberately.

A `UserError` is a mistake that users can correct. The command line prints it as one line and exits with code 2; Airflow
shows the same line and does not retry the task. Any other exception is a bug or a fault of the machine, and keeps its
traceback.
"""

from __future__ import annotations


class ClassifierError(Exception):
    """Something went wrong in the article classifier."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").splitlines()[0])


class UserError(ClassifierError):
    """The request cannot be fulfilled; correct it."""


class SettingsError(UserError):
    """A setting has an invalid value."""


class SourceError(UserError):
    """Cannot read a source of articles."""


class SourceUnavailableError(SourceError):
    """A source does not answer; retry later."""


class TooManyRejectedError(SourceError):
    """Too many rows of the source are invalid; nothing was ingested."""


class ErasureError(UserError):
    """Cannot erase these articles."""


class UndoError(UserError):
    """Cannot undo this ingest."""


class KnownTextsError(SourceError):
    """The texts are articles already, under other ids."""


class TaskError(UserError):
    """A task does not exist, cannot be changed so, or must be named."""


class CategoryError(UserError):
    """A category does not exist, or cannot be changed so."""


class TableError(UserError):
    """Cannot label an external table or query."""


class DatabaseUnavailableError(UserError):
    """The database does not answer."""


class StatementTimeoutError(UserError):
    """A database statement exceeded its time limit, or was cancelled."""


class DatabaseNotMigratedError(UserError):
    """The database has no tables, or tables of another version."""


class DatabaseEncodingError(UserError):
    """The database does not store its texts as UTF-8."""


class DatabaseRightsError(UserError):
    """The role in the database's URL lacks a right."""


class EncoderError(UserError):
    """Cannot load the encoder as a DistilBERT."""


class ArtefactError(UserError):
    """The model's files are missing, incomplete, or differ from the registered ones."""


class EngineDisagreesError(UserError):
    """The inference engine's predictions differ from those of the trained network."""


class TrainingDataError(UserError):
    """The annotated articles do not suffice to train a classifier."""


class TrainingInProgressError(UserError):
    """Another process is training with the same articles and recipe."""


class TrainingMemoryError(UserError):
    """A training step with a single article does not fit into memory."""


class StepTooLargeError(ClassifierError):
    """A training step does not fit into memory."""


class ModelNotFoundError(UserError):
    """Unknown model."""


class NoChampionError(UserError):
    """No model has been promoted yet."""


class NotEvaluatedError(UserError):
    """The model has not been evaluated on the test split."""


class NotComparableError(UserError):
    """The two models were not evaluated on the same articles."""


class QueueChangedError(UserError):
    """The review queue or the champion has changed since the articles to queue were chosen."""


class OutdatedQuestionError(UserError):
    """The question about a promotion is outdated: the evaluations have changed."""


class RollbackError(UserError):
    """Cannot roll back to this model."""


class AlarmError(UserError):
    """A drift check raised an alarm: the articles or the champion's accuracy have changed since its evaluation."""


class ArticleNotFoundError(UserError):
    """Unknown article."""


class ExplanationError(UserError):
    """Cannot explain the label now."""


class ReviewError(UserError):
    """Cannot perform the review request."""


class ExportError(UserError):
    """Cannot export the labels."""

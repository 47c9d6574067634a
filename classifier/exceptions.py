"""The errors this library raises on purpose.

A `UserError` is something its reader can mend: the command line prints it as one line and exits
with 2, Airflow shows the same line and does not retry it. Any other exception is a bug or a fault
of the machine, and keeps its traceback.
"""

from __future__ import annotations


class ClassifierError(Exception):
    """Something went wrong in the article classifier."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").splitlines()[0])


class UserError(ClassifierError):
    """What was asked for cannot be done as it stands."""


class SettingsError(UserError):
    """A setting has a value that cannot be used."""


class SourceError(UserError):
    """A source of articles cannot be read."""


class SourceUnavailableError(SourceError):
    """A source does not answer now, and may do so later."""


class TooManyRejectedError(SourceError):
    """Too many rows of the source are bad, so nothing was taken in."""


class TableError(UserError):
    """A table or query of somebody else's database cannot be labelled."""


class DatabaseUnavailableError(UserError):
    """The database does not answer."""


class StatementTimeoutError(UserError):
    """A statement took longer than it may, or was cancelled."""


class DatabaseNotMigratedError(UserError):
    """The database has no tables, or those of another version."""


class DatabaseRightsError(UserError):
    """The role of the database's address may not do that."""


class EncoderError(UserError):
    """The encoder is not a DistilBERT that can be loaded."""


class ArtefactError(UserError):
    """The model's files are missing, incomplete, or not the ones that were registered."""


class EngineDisagreesError(UserError):
    """The engine that would label does not give the answers of the trained network."""


class TrainingDataError(UserError):
    """The annotated articles cannot train a classifier."""


class TrainingUnderWayError(UserError):
    """Another process trains the same articles with the same recipe."""


class TrainingMemoryError(UserError):
    """Not even one article at a time fits into memory."""


class StepTooLargeError(ClassifierError):
    """A training step needs more memory than there is."""


class ModelNotFoundError(UserError):
    """No such model is registered."""


class NoChampionError(UserError):
    """No model has been promoted yet."""


class NotEvaluatedError(UserError):
    """The model has not been evaluated on the test split."""


class NotComparableError(UserError):
    """The two models were not measured on the same articles."""


class OutdatedQuestionError(UserError):
    """What a person was asked about a promotion does not hold any more."""


class RollbackError(UserError):
    """The champion cannot be changed to that model."""


class AlarmError(UserError):
    """The champion is not among such articles, or not as right, as it was when it was evaluated."""


class ReviewError(UserError):
    """The review cannot go on as it is asked to."""

"""Every deliberate error has one base and a default message, and either is a user's mistake or not."""

from __future__ import annotations

import inspect

import pytest

from classifier import exceptions
from classifier.exceptions import ClassifierError, SourceError, UserError

ALL = [error for _, error in inspect.getmembers(exceptions, inspect.isclass) if issubclass(error, Exception)]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_an_error_has_one_base_a_name_and_a_default_message(error):
    assert issubclass(error, ClassifierError)
    assert error.__name__.endswith("Error")
    message = str(error())
    assert message == error.__doc__.splitlines()[0]
    assert message.endswith(".")
    assert str(error("said otherwise")) == "said otherwise"


def test_user_errors_differ_from_bugs():
    assert [error for error in ALL if not issubclass(error, UserError)] == [
        ClassifierError,
        exceptions.StepTooLargeError,
    ]
    assert issubclass(exceptions.TooManyRejectedError, SourceError)

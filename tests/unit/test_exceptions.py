"""Every error on purpose has one base, a default message, and is a user's mistake or not."""

from __future__ import annotations

import inspect

import pytest

from classifier import exceptions
from classifier.exceptions import ClassifierError, SourceError, UserError

ALL = [one for _, one in inspect.getmembers(exceptions, inspect.isclass) if issubclass(one, Exception)]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_an_error_has_one_base_a_name_and_a_default_message(error):
    assert issubclass(error, ClassifierError)
    assert error.__name__.endswith("Error")
    message = str(error())
    assert message == error.__doc__.splitlines()[0]
    assert message.endswith(".")
    assert str(error("said otherwise")) == "said otherwise"


def test_what_a_user_can_mend_is_told_from_what_not():
    assert [one for one in ALL if not issubclass(one, UserError)] == [ClassifierError, exceptions.StepTooLargeError]
    assert issubclass(exceptions.TooManyRejectedError, SourceError)

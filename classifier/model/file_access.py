"""Report files that the user may not read, or that the disk does not give, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.exceptions import UserError


@contextmanager
def reading(path: Path, error_class: type[UserError], *, besides: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Translate errors of the operating system while `path`, or a file in it, is read; errors of `besides` pass.

    Raises:
        UserError: of the given class; it names the file, the reason and what to do.
    """
    try:
        yield
    except besides:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "check the path and the disk"
        if isinstance(error, PermissionError):
            remedy = "give the user of this process the right to read the file and to enter its folders"
        raise error_class(f"{error.filename or path}: cannot read ({reason}); {remedy}") from error

"""Choose the split of a text, permanently.

A keyed hash chooses. So no random state must be stored, the order of arrival does not matter, and equal texts are never
in different splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b, sha256
from math import isclose

from classifier.articles import SPLITS, Split
from classifier.exceptions import SettingsError


@dataclass(frozen=True, slots=True)
class Proportions:
    """The shares of the articles that the splits get. They add up to 1."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        # written so that NaN fails both tests
        if not all(share >= 0 for share in self.shares) or not isclose(sum(self.shares), 1, abs_tol=1e-9):
            text = ", ".join(f"{share:g}" for share in self.shares)
            raise SettingsError(f"split proportions {text}: each must be 0 or more, and they must add up to 1")

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares in the order of `SPLITS`."""
        return self.train, self.validation, self.test

    @classmethod
    def parse(cls, value: str) -> Proportions:
        """Return the proportions that "0.8,0.1,0.1" stands for: train, validation, test."""
        try:
            train, validation, test = (float(share) for share in value.split(","))
        except ValueError as error:
            raise SettingsError(
                f"split proportions {value!r}: must be three numbers, for {', '.join(SPLITS)}; write, for example, "
                "0.8,0.1,0.1"
            ) from error
        return cls(train, validation, test)


def assign_split(fingerprint: bytes, *, key: str, proportions: Proportions) -> Split:
    """Return the split of all articles with this fingerprint: always the same for the same key."""
    # blake2b accepts at most 64 bytes of key, and a user's key may be longer
    digest = blake2b(fingerprint, digest_size=8, key=sha256(key.encode()).digest()).digest()
    point = int.from_bytes(digest, "big") / 2**64
    possible = [(split, share) for split, share in zip(SPLITS, proportions.shares, strict=True) if share > 0]
    upper = 0.0
    for split, share in possible[:-1]:
        upper += share
        if point < upper:
            return split
    return possible[-1][0]  # the last split also gets the rounding error

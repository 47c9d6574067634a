"""Recognize erased articles by keyed digests, which tell nothing about an article to a reader without the key.

An id can often be guessed, so a plain hash of it would not hide it. The key is the setting `erasure_key` or, by
default, a random key in the database.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256

from pydantic import SecretStr
from sqlalchemy import Connection

from classifier.exceptions import SettingsError
from classifier.store import erasures


@dataclass(frozen=True, slots=True)
class Digests:
    """Functions of the key. `is_stored` says that the database holds it."""

    key: bytes
    is_stored: bool = False

    def of_article(self, source: str, external_id: str) -> bytes:
        """Return the digest of an article's source and id."""
        return self._digest(b"article", source.encode(), external_id.encode())

    def of_text(self, fingerprint: bytes) -> bytes:
        """Return the digest of a text, given its fingerprint."""
        return self._digest(b"text", fingerprint)

    @property
    def check(self) -> bytes:
        """The value by which a wrong key is noticed."""
        return self._digest(b"check")

    def _digest(self, *parts: bytes) -> bytes:
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.new(self.key, message, sha256).digest()


def find(connection: Connection, setting: SecretStr | None) -> Digests | None:
    """Return the digests of the database's key, or None if nothing was ever erased.

    Raises:
        SettingsError: the setting is not the key of the stored digests.
    """
    stored = erasures.find_key(connection)
    if stored is None:
        return None
    digests = Digests(stored.key, is_stored=True) if stored.key is not None else of_setting(setting)
    if digests is None or not hmac.compare_digest(digests.check, stored.key_check):
        raise SettingsError(
            "CLASSIFIER_ERASURE_KEY: is not the key that articles were erased with; set that key, or erased articles "
            "would come back"
        )
    return digests


def find_or_create(connection: Connection, setting: SecretStr | None) -> Digests:
    """Return the digests of the database's key; if there is none, store the setting's check or a random key.

    Raises:
        SettingsError: the setting is not the key of the stored digests.
    """
    if existing := find(connection, setting):
        return existing
    digests = of_setting(setting) or Digests(secrets.token_bytes(32), is_stored=True)
    erasures.add_key(connection, digests.key if digests.is_stored else None, digests.check)
    return digests


def of_setting(setting: SecretStr | None) -> Digests | None:
    """Return the digests of the setting's key, or None if it is not set."""
    return Digests(sha256(setting.get_secret_value().encode()).digest()) if setting else None

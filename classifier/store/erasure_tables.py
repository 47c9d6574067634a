"""The tables of erased articles, as SQLAlchemy Core describes them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from classifier.store.table_conventions import identity, metadata, now

erasure_key = Table(
    "erasure_key",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1", comment="always 1: there is one key"),
    Column("key", LargeBinary, comment="random; null: the key is the setting CLASSIFIER_ERASURE_KEY"),
    Column("key_check", LargeBinary, nullable=False, comment="HMAC by which a wrong key is noticed"),
    CheckConstraint("id = 1", name="id"),
    comment="key of the digests of erased articles",
)

erasures = Table(
    "erasures",
    metadata,
    identity(),
    Column("selection", Text, nullable=False, comment="how the articles were named"),
    Column("requested_by", Text, nullable=False, comment="account on the machine"),
    Column("articles", BigInteger, nullable=False, server_default="0", comment="erased articles"),
    Column("rows", JSONB, nullable=False, comment="deleted rows by table"),
    Column("models", ARRAY(Text), nullable=False, comment="models that were trained on the articles"),
    now("requested_at"),
    Column("finished_at", DateTime(timezone=True), comment="null: the erasure was interrupted"),
    CheckConstraint("selection IN ('id', 'source', 'query', 'replay')", name="selection"),
    comment="receipts: neither ids nor texts",
)

erased_articles = Table(
    "erased_articles",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="keyed hash of source and id, or of the text"),
    Column("erasure_id", ForeignKey(erasures.c.id), nullable=False),
    Index(None, "erasure_id"),
    comment="digests that keep erased articles from being ingested again",
)

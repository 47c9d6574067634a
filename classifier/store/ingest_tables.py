"""The tables of ingest runs, of what they have read, and of rejected rows, as SQLAlchemy Core describes them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from classifier.store.table_conventions import identity, metadata, now

ingest_runs = Table(
    "ingest_runs",
    metadata,
    identity(),
    Column("source", Text, nullable=False, comment="name of a declared source, else the pattern of files"),
    Column("kind", Text, nullable=False),
    Column("options", JSONB, nullable=False, comment="how files were read that no source declares"),
    Column("status", Text, nullable=False, server_default="running"),
    Column("files", Integer, nullable=False, server_default="0", comment="number of files, feeds or queries read"),
    Column("read", BigInteger, nullable=False, server_default="0", comment="rows read"),
    Column("new", BigInteger, nullable=False, server_default="0", comment="rows inserted"),
    Column("changed", BigInteger, nullable=False, server_default="0", comment="rows with another text than before"),
    Column("unchanged", BigInteger, nullable=False, server_default="0"),
    Column("rejected", BigInteger, nullable=False, server_default="0"),
    Column("duplicates", BigInteger, nullable=False, server_default="0", comment="rows superseded by later rows"),
    Column("error", Text, comment="one line; null: it did not fail"),
    now("started_at"),
    Column("finished_at", DateTime(timezone=True)),
    Column(
        "erased",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="rows left out, because their articles were erased",
    ),
    Column(
        "other_split",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="rows with another split than their article has; it keeps its split",
    ),
    Column("undone_at", DateTime(timezone=True), comment="null: the run was not undone"),
    CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="status"),
    Index(None, "source", "id"),
)

source_state = Table(
    "source_state",
    metadata,
    Column("source", Text, primary_key=True, comment="name of a declared source"),
    Column("unit", Text, primary_key=True, comment="path of a file, address of a feed, or query"),
    Column("config_sha256", LargeBinary, nullable=False, comment="of the options it was read with"),
    Column("size", BigInteger),
    Column("modified_at", DateTime(timezone=True)),
    Column("sha256", LargeBinary, comment="of the file or of the feed's document"),
    Column("etag", Text),
    Column("last_modified", Text, comment="as sent by the feed's server"),
    Column("watermark", JSONB, comment="kind and value of the highest watermark read"),
    now("seen_at"),
    Column("shared_guids", ARRAY(Text), comment="guids that several entries of the feed share, so they are not ids"),
    Index(None, "unit"),
)

rejected_rows = Table(
    "rejected_rows",
    metadata,
    identity(),
    Column("source", Text, nullable=False),
    Column("position", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("row", Text, nullable=False),
    Column(
        "row_hash",
        LargeBinary,
        nullable=False,
        comment="sha256 of the row; the same row at the same position is stored once",
    ),
    now("rejected_at"),
    Column("run_id", ForeignKey(ingest_runs.c.id)),
    Column("unit", Text, comment="path of a file, address of a feed, or query"),
    UniqueConstraint("source", "position", "row_hash"),
    Index(None, "unit", "id"),
    Index(None, "run_id"),
)

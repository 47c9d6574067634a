"""The views, as SQLAlchemy Core describes them. Migrations create them.

They are not part of the tables' metadata, since SQLAlchemy would create them as tables.
"""

from sqlalchemy import REAL, BigInteger, Boolean, Column, DateTime, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

_metadata = MetaData()

text_clusters = Table(
    "text_clusters",
    _metadata,
    Column("fingerprint", LargeBinary),
    Column("cluster_id", BigInteger),
)

annotations_in_force = Table(
    "annotations_in_force",
    _metadata,
    Column("id", BigInteger),
    Column("article_id", BigInteger),
    Column("task_id", BigInteger),
    Column("revision", Integer),
    Column("categories", ARRAY(Text)),
    Column("annotator", Text),
    Column("annotated_at", DateTime(timezone=True)),
    Column("comment", Text),
    Column("is_resolution", Boolean),
)

predicted_labels = Table(
    "predicted_labels",
    _metadata,
    Column("article_id", BigInteger),
    Column("task_id", BigInteger),
    Column("model_id", BigInteger),
    Column("model", Text),
    Column("status", Text),
    Column("revision", Integer),
    Column("labels", ARRAY(Text)),
    Column("confidences", ARRAY(REAL)),
    Column("confidence", REAL),
    Column("threshold", REAL),
    Column("model_categories", ARRAY(Text)),
    Column("predicted_at", DateTime(timezone=True)),
)

article_labels = Table(
    "article_labels",
    _metadata,
    Column("article_id", BigInteger),
    Column("source", Text),
    Column("external_id", Text),
    Column("task", Text),
    Column("label", Text),
    Column("origin", Text),
    Column("confidence", REAL),
    Column("labelled_at", DateTime(timezone=True)),
    Column("model", Text),
    Column("split", Text),
    Column("published_at", DateTime(timezone=True)),
    Column("abstained", Boolean),
    Column("title", Text),
    Column("url", Text),
)

article_label_sets = Table(
    "article_label_sets",
    _metadata,
    Column("article_id", BigInteger),
    Column("source", Text),
    Column("external_id", Text),
    Column("task", Text),
    Column("labels", ARRAY(Text)),
    Column("confidences", ARRAY(REAL)),
    Column("origin", Text),
    Column("labelled_at", DateTime(timezone=True)),
    Column("model", Text),
    Column("split", Text),
    Column("published_at", DateTime(timezone=True)),
    Column("abstained", Boolean),
    Column("title", Text),
    Column("url", Text),
)

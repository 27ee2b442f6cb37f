"""The tables (docs/protocol, "What is stored").

No row may record the order in which things arrived across segments: no table has an automatic rowid, bodies lie under
random numbers, and the only time anywhere is a UTC day. The numbers of pages still do for bodies that need pages of
their own (docs/protocol, "What is stored"). ``tests/server/storage`` holds us to it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table

RowNumber = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite takes a primary key for its rowid only if the type is spelt INTEGER; any other would get a hidden rowid that
counts upwards and so records the order of arrival."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

seg = Table(
    "seg",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("cfg", LargeBinary(99), nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("chain", LargeBinary(32), nullable=False),
    Column("sealed", Integer, nullable=False),
    Column("frozen", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("quota", BigInteger, nullable=False),
    Column("blob_used", BigInteger, nullable=False),
    Column("blob_quota", BigInteger, nullable=False),
    Column("expires_day", Integer, nullable=False),
    Column("heir", LargeBinary(32)),
    sqlite_with_rowid=False,
)

ent = Table(
    "ent",
    metadata,
    Column("seg", LargeBinary(32), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("h", LargeBinary(32), nullable=False),
    Column("size", Integer, nullable=False),
    Column("rid", BigInteger, nullable=False),
    Index("ix_ent_h_seg", "h", "seg", unique=True),  # h first: a batch over many segments is looked up by h alone
    sqlite_with_rowid=False,
)

body = Table(
    "body",
    metadata,
    Column("rid", RowNumber, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

blob = Table(
    "blob",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("del", LargeBinary(32), key="delete_hash", nullable=False),
    Column("rid", BigInteger, nullable=False),
    Column("expires_day", Integer, nullable=False),
    sqlite_with_rowid=False,
)

code = Table(
    "code",
    metadata,
    Column("h", LargeBinary(32), primary_key=True),
    Column("left", BigInteger, key="units", nullable=False),
    Column("expires_day", Integer, nullable=False),
    sqlite_with_rowid=False,
)

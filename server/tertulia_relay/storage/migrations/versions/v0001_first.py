"""Schema 1: segments, entries, bodies, blobs, enrolment codes.

A migration spells its tables out: the metadata of today must not change what version 1 was.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "seg",
        sa.Column("id", sa.LargeBinary(32), nullable=False),
        sa.Column("cfg", sa.LargeBinary(99), nullable=False),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.Column("chain", sa.LargeBinary(32), nullable=False),
        sa.Column("sealed", sa.Integer, nullable=False),
        sa.Column("frozen", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("quota", sa.BigInteger, nullable=False),
        sa.Column("blob_used", sa.BigInteger, nullable=False),
        sa.Column("blob_quota", sa.BigInteger, nullable=False),
        sa.Column("expires_day", sa.Integer, nullable=False),
        sa.Column("heir", sa.LargeBinary(32)),
        sa.PrimaryKeyConstraint("id", name="pk_seg"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ent",
        sa.Column("seg", sa.LargeBinary(32), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("h", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("rid", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seg", "seq", name="pk_ent"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ent_h_seg", "ent", ["h", "seg"], unique=True)
    op.create_table(
        "body",
        sa.Column("rid", _ROW_NUMBER, nullable=False, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("rid", name="pk_body"),
    )
    op.create_table(
        "blob",
        sa.Column("id", sa.LargeBinary(32), nullable=False),
        sa.Column("del", sa.LargeBinary(32), nullable=False),
        sa.Column("rid", sa.BigInteger, nullable=False),
        sa.Column("expires_day", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_blob"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "code",
        sa.Column("h", sa.LargeBinary(32), nullable=False),
        sa.Column("left", sa.BigInteger, nullable=False),
        sa.Column("expires_day", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("h", name="pk_code"),
        sqlite_with_rowid=False,
    )

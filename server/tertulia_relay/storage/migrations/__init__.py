"""Migrations of the relay's database, run by alembic from code; there is no alembic.ini."""

from __future__ import annotations

SCHEMAS = ("0001",)
"""The names of all schemas, oldest first: those of the files in ``versions``."""

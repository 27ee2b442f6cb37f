"""Migrations of the relay's database, run by alembic from code; there is no alembic.ini."""

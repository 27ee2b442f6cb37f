"""Storage in SQL through SQLAlchemy Core."""

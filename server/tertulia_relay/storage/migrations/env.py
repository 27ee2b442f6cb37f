"""What alembic runs: the migrations, over the connection that :mod:`tertulia_relay.storage.migrate` hands in."""

from __future__ import annotations

from alembic import context

from tertulia_relay.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()

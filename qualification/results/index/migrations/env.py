"""Runs migrations by the connection that `migrate.config` was given; alembic loads this file."""

from alembic import context

from qualification.results.index.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
context.run_migrations()

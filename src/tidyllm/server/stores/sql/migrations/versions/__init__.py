"""One file per migration, in order; Alembic finds them by folder."""

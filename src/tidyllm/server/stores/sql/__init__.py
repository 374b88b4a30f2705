"""The store in a SQL database: SQLite by default, written so that PostgreSQL runs the same statements."""

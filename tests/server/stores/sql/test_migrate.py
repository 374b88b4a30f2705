import re
import sqlite3
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tidyllm.core.errors import SettingError
from tidyllm.server.store import DEFAULT_PROJECT
from tidyllm.server.stores.sql.engine import database_path, sqlite_engine
from tidyllm.server.stores.sql.migrate import migrate, migrations
from tidyllm.server.stores.sql.schema import NEWEST, metadata


def definitions(path: Path) -> set[str]:
    """Return how a database defines its tables and indexes; the parts of a table may stand in any order."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
        found = {"\n".join(sorted(filter(None, map(str.strip, re.split(r"[,\n]", sql))))) for (sql,) in rows}
    connection.close()
    return found


def test_migrations_end_at_the_schema(tmp_path: Path) -> None:
    migrate(tmp_path)
    engine = sqlite_engine(database_path(tmp_path))
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrations_end_at_the_schema_to_the_letter(tmp_path: Path) -> None:
    # Conditions of partial indexes and WITHOUT ROWID are nothing that Alembic compares.
    migrate(tmp_path)
    drawn = sqlite_engine(tmp_path / "drawn.sqlite3")
    with drawn.begin() as connection:
        metadata.create_all(connection)
    drawn.dispose()
    assert definitions(database_path(tmp_path)) == definitions(tmp_path / "drawn.sqlite3")


def test_newest_migration_is_the_one_that_stores_ask_for() -> None:
    assert ScriptDirectory.from_config(migrations()).get_current_head() == NEWEST


def test_migrations_are_numbered_and_say_what_they_do() -> None:
    for script in ScriptDirectory.from_config(migrations()).walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")
        assert script.doc


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    migrate(tmp_path)
    before = definitions(database_path(tmp_path))
    migrate(tmp_path)
    assert definitions(database_path(tmp_path)) == before


def test_first_migration_makes_the_default_project(tmp_path: Path) -> None:
    migrate(tmp_path)
    with sqlite3.connect(database_path(tmp_path)) as connection:
        assert connection.execute("SELECT id FROM project").fetchall() == [(DEFAULT_PROJECT,)]
    connection.close()


def test_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "a" / "100% data"
    migrate(data)
    assert data.stat().st_mode & 0o777 == 0o700


def test_processes_that_migrate_at_once_take_turns(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from tidyllm.server.stores.sql.migrate import migrate as m; "
    script += "sys.stdin.read(); m(Path(sys.argv[1]))"
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "data")]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
        racer.stdin = None
    errors = [racer.communicate(timeout=60)[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0], errors


def test_failed_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    with sqlite3.connect(database_path(tmp_path)) as connection:
        connection.execute("CREATE TABLE shard (what TEXT)")
    connection.close()
    with pytest.raises(Exception, match="already exists"):
        migrate(tmp_path)
    assert definitions(database_path(tmp_path)) == {"CREATE TABLE shard (what TEXT)"}


def test_newer_database_is_refused(tmp_path: Path) -> None:
    migrate(tmp_path)
    with sqlite3.connect(database_path(tmp_path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SettingError, match="newer than this tidyllm"):
        migrate(tmp_path)


def test_migrations_are_written_for_postgresql_too() -> None:
    config, text = migrations(), StringIO()
    scripts = ScriptDirectory.from_config(config)

    def upgrade(revision: str, _context: MigrationContext) -> object:
        return scripts._upgrade_revs("head", revision)

    with EnvironmentContext(config, scripts, fn=upgrade, as_sql=True) as environment:
        environment.configure(dialect_name="postgresql", output_buffer=text, as_sql=True)
        environment.run_migrations()
    assert "seq BIGSERIAL NOT NULL" in text.getvalue()
    assert "WHERE ended_at IS NULL" in text.getvalue()

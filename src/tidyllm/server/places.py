"""Where things lie in the server's data folder.

tidyllm.sqlite3            what is known of files, batches, shards, workers and upstreams
blobs/kept/<key>           bodies of files; in blobs/incoming/ while they are written
journals/<batch>/*.log     answers of unfinished batches, one file per worker life
workers/<id>.lock          held by a worker as long as it lives; its text is the process id
serve.lock                 held by the one `tidyllm serve` of the folder
"""

from pathlib import Path

from tidyllm.core.disk import Disk


def make_folders(data: Path, disk: Disk) -> None:
    """Make what must be there before the first process starts, names and all durable."""
    for folder in (data, journals_folder(data), data / "workers"):
        disk.make_folder(folder)
        disk.sync_folder(folder.parent)


def blobs_folder(data: Path) -> Path:
    """Return the folder of file bodies."""
    return data / "blobs"


def journals_folder(data: Path) -> Path:
    """Return the folder with one folder of journals for each batch."""
    return data / "journals"


def batch_journals(data: Path, batch_id: str) -> list[Path]:
    """Return the journals of a batch, in a stable order."""
    return sorted(path for path in (journals_folder(data) / batch_id).glob("*.log") if path.is_file())


def worker_journal(data: Path, batch_id: str, *, worker_id: str, number: int) -> Path:
    """Return where a worker writes a batch's answers; it has a file more each time that it must begin anew."""
    return journals_folder(data) / batch_id / f"{worker_id}.{number}.log"


def worker_lock(data: Path, worker_id: str) -> Path:
    """Return the file that a worker holds locked as long as it lives."""
    return data / "workers" / f"{worker_id}.lock"


def worker_locks(data: Path) -> dict[str, Path]:
    """Return the lock files that are there, by worker."""
    return {lock.stem: lock for lock in (data / "workers").glob("*.lock") if lock.is_file()}


def serve_lock(data: Path) -> Path:
    """Return the file that the one `tidyllm serve` of the folder holds locked."""
    return data / "serve.lock"

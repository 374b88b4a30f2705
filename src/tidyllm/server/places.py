"""Where things lie in the server's data folder.

tidyllm.sqlite3            what is known of files, batches, shards and workers
blobs/kept/<key>           bodies of files; in blobs/incoming/ while they are written
journals/<batch>/*.log     answers of unfinished batches, one file per worker life
workers/<id>.lock          held by a worker as long as it lives; its text is the process id
serve.lock                 held by the one `tidyllm serve` of the folder
"""

from pathlib import Path


def blobs_folder(data: Path) -> Path:
    """Return the folder of file bodies."""
    return data / "blobs"


def journals_folder(data: Path) -> Path:
    """Return the folder with one folder of journals for each batch."""
    return data / "journals"


def batch_journals(data: Path, batch_id: str) -> list[Path]:
    """Return the journals of a batch, in a stable order."""
    return sorted((journals_folder(data) / batch_id).glob("*.log"))


def worker_journal(data: Path, batch_id: str, *, worker_id: str, opened: int) -> Path:
    """Return where a worker writes a batch's answers; `opened` tells apart the times it began with the batch."""
    return journals_folder(data) / batch_id / f"{worker_id}.{opened}.log"


def worker_lock(data: Path, worker_id: str) -> Path:
    """Return the file that a worker holds locked as long as it lives."""
    return data / "workers" / f"{worker_id}.lock"


def serve_lock(data: Path) -> Path:
    """Return the file that the one `tidyllm serve` of the folder holds locked."""
    return data / "serve.lock"

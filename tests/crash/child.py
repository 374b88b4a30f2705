"""The main program of a server process in crash runs: its disk can be one that a power cut takes things from."""

import os
from pathlib import Path

from tests.crash.lossy import LossyDisk
from tidyllm.core.disk import Disk, LocalDisk
from tidyllm.server.child import main
from tidyllm.server.stores.sql.engine import open_store

DATA = "TIDYLLM_DATA"
SHADOW = "TIDYLLM_TEST_SHADOW"
"""The environment variables that name the data folder, and the folder in which a lossy disk remembers."""


def disk_here() -> Disk:
    """Return the disk that the environment asks for."""
    shadow = os.environ.get(SHADOW)
    return LossyDisk(Path(os.environ[DATA]), Path(shadow)) if shadow else LocalDisk()


if __name__ == "__main__":
    main(disk_here(), open_store)

"""A real server on a real disk that fills up in mid-batch: a program for a mount namespace of its own.

`test_full_disk.py` runs it through `unshare`; its argument is an empty folder, on which it mounts a small disk.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from tests.server.test_serve import request, serving, wait_until
from tidyllm.testing import Behavior, simulated_model

DISK_BYTES = 16 * 2**20
LINES = 600


def main(folder: Path) -> None:
    """Fill the disk while a batch runs, make space again, and see the batch complete."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", folder], check=True)
    os.environ["TIDYLLM_DISK_FREE_MIN_BYTES"] = "0"
    with simulated_model(Behavior(latency_ms=2)) as model, serving(folder, model) as served:
        served.client.max_retries = 0
        batch = served.create(LINES)
        model.witness.wait(answered=100)
        filler = folder / "filler"
        fill(filler)
        pids = served.worker_pids()
        wait_until(lambda: model.witness.counts().in_flight == 0, "nothing more is asked")
        asked = model.witness.counts().received
        assert asked < LINES, "the disk was full before the batch was done"
        counts = served.client.batches.retrieve(batch.id).request_counts
        assert counts is not None
        assert counts.completed < asked, "an answer that could not be kept was counted"
        with pytest.raises(openai.InternalServerError) as refused:
            served.client.files.create(file=("in.jsonl", request(0) * 10_000), purpose="batch")
        assert refused.value.status_code == 507
        filler.unlink()
        ended = served.ended(batch)
        assert ended.status == "completed"
        assert served.ids(ended.output_file_id) == [f"row-{n}" for n in range(LINES)]
        assert model.witness.counts().received == LINES, "a request was sent twice"
        assert served.worker_pids() == pids, "the worker died of it"
    sys.stdout.write(f"{asked} of {LINES} were asked when the disk was full; all were answered once\n")


def fill(filler: Path) -> None:
    """Write until not a byte more goes."""
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

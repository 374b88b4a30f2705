"""A line whose answer kills whoever asks for it, before a real `tidyllm serve`."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

from tests.server.test_serve import Served, serving

LINES = 40
POISON = "question 7"


class Deadly(ThreadingHTTPServer):
    """An upstream that kills the worker as soon as it asks one certain question."""

    data: Path
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.lock = Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def kill_workers(self) -> None:
        for lock in (self.data / "workers").glob("*.lock"):
            os.kill(int(lock.read_text()), signal.SIGKILL)


class _Handler(BaseHTTPRequestHandler):
    server: Deadly

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.asked.append(question)
        if question == POISON:
            self.server.kill_workers()
            return
        answer = b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def deadly_upstream(data: Path) -> Iterator[Deadly]:
    with Deadly() as upstream:
        upstream.data = data
        thread = Thread(target=upstream.serve_forever)
        thread.start()
        yield upstream
        upstream.shutdown()
        thread.join()


def results(served: Served, file_id: str | None) -> list[dict[str, object]]:
    assert file_id is not None
    return [json.loads(line) for line in served.client.files.content(file_id).text.splitlines()]


def test_a_line_that_kills_its_workers_ends_as_an_error_and_all_others_are_answered(tmp_path: Path) -> None:
    with deadly_upstream(tmp_path) as upstream, serving(tmp_path, upstream) as served:
        batch = served.ended(served.create(LINES))
        assert batch.status == "completed"
        (dead,) = results(served, batch.error_file_id)
        assert dead["custom_id"] == "row-7"
        assert dead["error"] == {
            "code": "worker_died",
            "message": "The server's worker process died 3 times while this request was in flight.",
        }
        good = results(served, batch.output_file_id)
        assert [line["custom_id"] for line in good] == [f"row-{n}" for n in range(LINES) if n != 7]
    assert upstream.asked.count(POISON) == 3
    assert max(upstream.asked.count(f"question {n}") for n in range(LINES)) == 3

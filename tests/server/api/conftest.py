"""A real server in a thread: uvicorn on a free port, SQLite and a folder on disk, and the ways to talk to it."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import openai
import pytest
import uvicorn

from tests.faulty import FaultyDisk
from tidyllm.server.api.app import create_app
from tidyllm.server.api.protocol import server_config
from tidyllm.server.blobs.disk import DiskBlobs
from tidyllm.server.records import FileRecord
from tidyllm.server.settings import Settings
from tidyllm.server.store import DEFAULT_PROJECT, Store
from tidyllm.server.stores.sql.engine import open_store
from tidyllm.server.stores.sql.migrate import migrate
from tidyllm.server.thread import StoreThread
from tidyllm.testing.clock import ManualClock

DEADLINE_S = 30
NOW = 1_790_700_000
LINE = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}\n'


class Answer(NamedTuple):
    """What came back over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])

    @property
    def error(self) -> dict[str, object]:
        """The error object, after a look at its form: all four keys and nothing else."""
        assert self.headers["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        error = msgspec.convert(self.json["error"], dict[str, object])
        assert list(error) == ["message", "type", "param", "code"]
        return error


class Served:
    """A running server, and what a test asks of it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        migrate(folder)
        self.clock = ManualClock(NOW)
        self.blobs_folder = folder / "blobs"
        self.blobs_folder.mkdir()
        self.disk = FaultyDisk()
        self.blobs = DiskBlobs(self.blobs_folder, disk=self.disk)
        self.store: Store = open_store(folder)
        """A connection of the test's own, as another process has it."""
        self._thread_store = StoreThread(partial(open_store, folder))
        self.app = create_app(settings, self._thread_store, blobs=self.blobs, disk=self.disk, clock=self.clock)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="sk-nobody-reads-this", max_retries=0)
        self._server = uvicorn.Server(server_config(self.app))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]})
        self._thread.start()

    def ask(
        self, method: str, path: str, *, body: bytes | Iterator[bytes] = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request, chunked if its body is an iterator, and return the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            chunked = not isinstance(body, bytes)
            connection.request(method, path, body=body or None, headers=headers or {}, encode_chunked=chunked)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def post(self, path: str, value: object) -> Answer:
        """Send a value as JSON."""
        return self.ask("POST", path, body=msgspec.json.encode(value), headers={"content-type": "application/json"})

    def talk(self) -> socket.socket:
        """Open a connection for bytes that no HTTP library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)

    def bodies(self) -> list[Path]:
        """Return every file among the blobs, finished or not."""
        return [path for path in self.blobs_folder.rglob("*") if path.is_file()]

    def upload(self, content: bytes = LINE, *, purpose: str = "batch") -> str:
        """Upload a file and return its id."""
        file = self.client.files.create(file=("jobs.jsonl", content), purpose=purpose)  # type: ignore[arg-type]
        return file.id

    def add_file(self, file_id: str, *, purpose: str = "batch_output", content: bytes = b"x") -> FileRecord:
        """Put a file there as the server's own processes do, without the API."""
        writer = self.blobs.create()
        writer.write(content)
        writer.commit(file_id)
        writer.close()
        size = len(content)
        file = FileRecord(
            id=file_id,
            project_id=DEFAULT_PROJECT,
            blob=file_id,
            purpose=purpose,
            filename="made.jsonl",
            bytes=size,
            created_at=int(self.clock.now()),
        )
        self.store.add_file(file)
        return file

    def stop(self) -> None:
        """Let the requests under way end, then stop."""
        self._server.should_exit = True
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.client.close()
        self.stop()
        self._listening.close()
        self._thread_store.close()
        self.store.close()


Serve = Callable[..., Served]
"""Starts a server with some settings changed: `serve(upload_bytes_max=100)`."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[Served] = []

    def start(**changes: object) -> Served:
        folder = tmp_path / f"data-{len(started)}"
        folder.mkdir()
        started.append(Served(folder, msgspec.convert({"data": folder, **changes}, Settings, dec_hook=_same)))
        return started[-1]

    yield start
    for served in started:
        served.close()


def _same(_kind: type, value: object) -> object:
    return value


@pytest.fixture
def served(serve: Serve) -> Served:
    """A server of the test's own."""
    return serve()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests of a file that leave nothing in it."""
    folder = tmp_path_factory.mktemp("shared")
    served = Served(folder, Settings(data=folder))
    yield served
    served.close()

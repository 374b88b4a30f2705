"""One story of a server that comes to every duty, and that can be gone on with after each death of it."""

import http.client
import json
from collections.abc import Callable
from typing import Any

from tests.crash.asking import form
from tests.crash.invariants import (
    ENDED,
    Batch,
    History,
    as_told,
    batches,
    every_line_is_there_once,
    file_names,
    litter,
    result_files,
    uploads_are_whole,
)
from tests.crash.whole import CONCURRENCY, DEADLINE_S, LOOK_EVERY_S, GoneError, Home, Server
from tidyllm.testing import SimulatedModel

LINES = {"whole": 60, "stopped": 40, "late": 24, "broken": 2}
"""The batches of the story, and how many lines the file of each has."""
ENDS = {"whole": "completed", "stopped": "cancelled", "late": "expired", "broken": "failed"}
REFUSED = "refused"
"""The name of a batch that asks for what cannot be."""
A_DAY_AND_MORE_S = 90_000
_RUNNING = ("validating", "in_progress")


def custom_ids(name: str) -> list[str]:
    return [f"{name}-{n}" for n in range(LINES[name])]


def input_file(name: str) -> bytes:
    return b"".join(_request(custom_id) for custom_id in custom_ids(name)) + b"broken\n" * (name == "broken")


def _request(custom_id: str) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": custom_id}]}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line).encode() + b"\n"


class HttpApi:
    """A running server's API; every question has a connection of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def get(self, path: str) -> bytes:
        status, body = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return body

    def post(self, path: str, fields: dict[str, object]) -> tuple[int, dict[str, Any]]:
        status, body = self.ask("POST", path, json.dumps(fields).encode())
        return status, json.loads(body)

    def upload(self, name: str, content: bytes) -> str:
        body, headers = form(f"{name}.jsonl", content)
        status, answer = self.ask("POST", "/files", body, kind=headers["content-type"])
        assert status == 200, answer
        return str(json.loads(answer)["id"])

    def ask(self, method: str, path: str, body: bytes = b"", *, kind: str = "application/json") -> tuple[int, bytes]:
        """Return the status and body of an answer; raises GoneError where the server dies."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=DEADLINE_S)
        try:
            connection.request(method, f"/v1{path}", body, {"content-type": kind, "connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (ConnectionError, http.client.HTTPException) as error:
            raise GoneError from error
        finally:
            connection.close()


class Story:
    """What is done with a server, act by act; an act that a death broke off is played again from its beginning.

    The model answers only while a batch is to end, so the story comes to the same points however often it is broken
    off: a batch that is to stop in mid-run cannot end before.
    """

    def __init__(self, home: Home, model: SimulatedModel) -> None:
        self._home = home
        self._model = model
        self._history = History()
        self._files: dict[str, str] = {}
        self._batches: dict[str, str] = {}
        """What an answer has said is there."""
        self._doomed: set[str] = set()
        """Files whose deletion was asked for: until it is answered they are there or not."""
        self._deleted: set[str] = set()
        self.deaths = 0
        self.acts = (self._begin, self._go_on, self._clean_up)
        model.hold()

    def server_died(self) -> None:
        """Hear that the server has died; what it asked of the model is forgotten."""
        self.deaths += 1
        self._model.release()
        self._model.hold()

    def _begin(self, server: Server) -> None:
        """Refuse, fail and cancel a batch, and stop the server in the middle of another whose input is deleted."""
        api = HttpApi(server)
        self._look_back(api)
        status, _ = api.post("/batches", self._creation(REFUSED, file_id="file-any", endpoint="/v1/nowhere"))
        assert status == 400
        for name in LINES:
            self._upload(api, name)
        self._create(api, "broken")
        self._create(api, "stopped")
        self._until_running(server, "stopped")
        if self._look(api, "stopped")["status"] not in ENDED:
            status, _ = api.post(f"/batches/{self._batches['stopped']}/cancel", {})
            assert status == 200
            self._model.release()
            self._ended(server, "stopped")
            self._model.hold()
        self._ended(server, "broken")
        self._create(api, "whole")
        self._until_running(server, "whole")
        self._delete(api, self._files["whole"])
        server.terminate()
        # What is in flight is answered before the end, and no more is sent.
        self._wait(server, lambda: not server.listens(), what="the server to end")
        self._model.release()

    def _go_on(self, server: Server) -> None:
        """Let that batch end, and another expire; see to it that what is deleted goes."""
        api = HttpApi(server)
        self._look_back(api)
        if self._look(api, "whole")["status"] not in ENDED:
            self._model.release()
            self._ended(server, "whole")
            self._model.hold()
        self._create(api, "late")
        self._until_running(server, "late")
        self._put_clock_ahead()
        self._wait(server, lambda: self._look(api, "late")["status"] not in _RUNNING, what="the window to close")
        self._model.release()
        self._ended(server, "late")
        self._delete(api, result_files(self._look(api, "stopped"))[0])
        self._until_clean(server)

    def _clean_up(self, server: Server) -> None:
        """Look at everything once more."""
        api = HttpApi(server)
        self._until_clean(server)
        self._look_back(api)
        kept = set(self._files.values()) - self._doomed
        as_told(api, files=kept, created=self._batches.values(), names=LINES)
        for name in LINES:
            self._compare(api, name)

    def _look_back(self, api: HttpApi) -> None:
        """See that all is still as it was in earlier lives."""
        self._history.agrees(api)
        kept = {name: file_id for name, file_id in self._files.items() if file_id not in self._doomed}
        uploads_are_whole(api, {file_id: input_file(name) for name, file_id in kept.items()})

    def _upload(self, api: HttpApi, name: str) -> None:
        if name in self._files:
            return
        # The answer to an earlier try may have been lost with the server.
        there = [file_id for file_id, filename in file_names(api).items() if filename == f"{name}.jsonl"]
        self._files[name] = there[0] if there else api.upload(name, input_file(name))

    def _create(self, api: HttpApi, name: str) -> None:
        if name in self._batches:
            return
        there = [batch["id"] for batch in batches(api) if batch["metadata"] == {"name": name}]
        if not there:
            status, batch = api.post("/batches", self._creation(name, file_id=self._files[name]))
            assert status == 200, batch
            there = [batch["id"]]
        self._batches[name] = there[0]

    def _creation(self, name: str, *, file_id: str, endpoint: str = "/v1/chat/completions") -> dict[str, object]:
        return {
            "input_file_id": file_id,
            "endpoint": endpoint,
            "completion_window": "24h",
            "metadata": {"name": name},
        }

    def _delete(self, api: HttpApi, file_id: str) -> None:
        if file_id in self._deleted:
            return
        self._doomed.add(file_id)
        status, answer = api.ask("DELETE", f"/files/{file_id}")
        assert status == 200 or (status == 404 and self.deaths > 0), answer
        self._deleted.add(file_id)

    def _look(self, api: HttpApi, name: str) -> Batch:
        batch: Batch = json.loads(api.get(f"/batches/{self._batches[name]}"))
        return self._history.see(batch)

    def _ended(self, server: Server, name: str) -> None:
        api = HttpApi(server)
        self._wait(server, lambda: self._look(api, name)["status"] in ENDED, what=f"the end of {name}")
        self._compare(api, name)

    def _compare(self, api: HttpApi, name: str) -> None:
        """See that an ended batch is as it must be, and as it was."""
        batch = self._look(api, name)
        assert batch["status"] == ENDS[name], f"{name} has come to another end: {batch}"
        if not self._doomed & set(result_files(batch)):
            self._history.see_files(batch, api)
            every_line_is_there_once(batch, api, custom_ids=custom_ids(name))

    def _until_running(self, server: Server, name: str) -> None:
        """Wait until all slots have lines of a batch in flight, unless it has come further in an earlier life."""
        api = HttpApi(server)

        def running() -> bool:
            full = self._model.witness.counts().in_flight == CONCURRENCY
            return full or self._look(api, name)["status"] not in _RUNNING

        self._wait(server, running, what=f"the lines of {name} to be in flight")

    def _put_clock_ahead(self) -> None:
        part = self._home.ahead.with_suffix(".part")
        part.write_text(str(A_DAY_AND_MORE_S))
        part.replace(self._home.ahead)

    def _until_clean(self, server: Server) -> None:
        api = HttpApi(server)
        try:
            self._wait(server, lambda: not litter(self._home.data, api), what="a clean folder")
        except TimeoutError:
            raise AssertionError(f"this is never cleaned up: {litter(self._home.data, api)}") from None

    def _wait(self, server: Server, condition: Callable[[], bool], *, what: str) -> None:
        for _ in range(int(DEADLINE_S / LOOK_EVERY_S)):
            if condition():
                return
            server.pause()
        raise TimeoutError(what)

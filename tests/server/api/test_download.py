import os
import re
import socket
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.server.api.conftest import DEADLINE_S, Serve, Served
from tidyllm.server.api.download import BlobResponse


def test_bytes_come_back_as_they_were(served: Served) -> None:
    content = b"[1]\n" + os.urandom(1_500_000)
    file_id = served.upload(content)
    answer = served.ask("GET", f"/v1/files/{file_id}/content")
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert served.client.files.content(file_id).read() == content


def test_empty_file_can_be_downloaded(served: Served) -> None:
    file_id = served.upload(b"", purpose="user_data")
    answer = served.ask("GET", f"/v1/files/{file_id}/content")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "0", b"")


@pytest.mark.parametrize(
    "filename", ["jobs.jsonl", 'quo"te\\.jsonl', "über uns.jsonl", "100%; a=b.jsonl", "\N{SNOWMAN}.jsonl"]
)
def test_filename_is_quoted_safely(tmp_path: Path, filename: str) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        header = BlobResponse(file, filename=filename).headers["content-disposition"]
    match = re.fullmatch(r"attachment; filename=\"([A-Za-z0-9._ -]+)\"; filename\*=UTF-8''([A-Za-z0-9._%~-]+)", header)
    assert match is not None
    assert unquote(match[2]) == filename


def test_reader_that_goes_away_holds_nothing_open(serve: Serve) -> None:
    served = serve()
    file_id = served.upload(b"[1]\n" + bytes(20_000_000), purpose="user_data")
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE_S) as connection:
        connection.sendall(f"GET /v1/files/{file_id}/content HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
    served.stop()
    descriptors = [entry.readlink().name for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert file_id not in descriptors

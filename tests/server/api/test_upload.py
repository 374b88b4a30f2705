import gc
import http.client
import io
import os
import tracemalloc
from collections.abc import Iterator

import openai
import pytest

from tests.server.api.conftest import LINE, Answer, Serve, Served
from tidyllm.server.api.form import FormReader

KIND = {"content-type": "multipart/form-data; boundary=cut"}
PURPOSE = b'--cut\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
FILE_HEAD = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="jobs.jsonl"\r\n\r\n'
END = b"\r\n--cut--\r\n"


def upload(served: Served, body: bytes | Iterator[bytes]) -> Answer:
    return served.ask("POST", "/v1/files", body=body, headers=KIND)


def test_file_may_come_first_in_chunks_without_a_length(served: Served) -> None:
    content = LINE * 20_000
    file = FILE_HEAD + content + b"\r\n"
    pieces = [file[place : place + 50_000] for place in range(0, len(file), 50_000)]
    answer = upload(served, iter([*pieces, PURPOSE, b"--cut--\r\n"]))
    assert (answer.status, answer.json["bytes"]) == (200, len(content))
    assert served.client.files.content(str(answer.json["id"])).read() == content


def test_sdk_sends_files_and_streams(served: Served) -> None:
    file = served.client.files.create(file=("jobs.jsonl", io.BytesIO(LINE)), purpose="batch")
    assert served.client.files.content(file.id).text == LINE.decode()


def test_nothing_of_an_upload_stays_in_memory(served: Served) -> None:
    # Found with lines of a megabyte: the reader of the form and its parser held each other, and the collector of cycles
    # comes seldom here, so that each upload cost a megabyte for good.
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            served.upload()
            assert upload(served, b"--cut\r\nContent-Disposition: form-data\r\n\r\n").status == 400
        assert not [one for one in gc.get_objects() if isinstance(one, FormReader)]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("filename", "content", "message"),
    [
        ("upload", LINE, "Invalid file format for Batch API. Must be .jsonl"),
        ("jobs.csv", LINE, "Invalid file format for Batch API. Must be .jsonl"),
        ("jobs.jsonl", b"", "Invalid file format for Batch API. Must be .jsonl with at least one line."),
        ("jobs.jsonl", b"a,b\n", "Invalid file format for Batch API. Must be .jsonl, and its first line is not JSON."),
    ],
)
def test_wrong_batch_file_is_refused_and_not_kept(shared: Served, filename: str, content: bytes, message: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        shared.client.files.create(file=(filename, content), purpose="batch")
    assert caught.value.body == {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    assert shared.bodies() == []


def test_later_lines_are_left_to_the_batch(served: Served) -> None:
    assert served.client.files.create(file=("jobs.jsonl", b"\xef\xbb\xbf{}\nnot json\n"), purpose="batch").bytes == 15


def test_bytes_alone_get_a_name_that_is_refused(shared: Served) -> None:
    with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
        shared.client.files.create(file=LINE, purpose="batch")


@pytest.mark.parametrize("body", [b"", b"no form", PURPOSE, FILE_HEAD + LINE, FILE_HEAD[:30]])
def test_broken_form_is_refused_and_not_kept(shared: Served, body: bytes) -> None:
    answer = upload(shared, body)
    assert answer.status == 400
    assert "multipart form" in str(answer.error["message"])
    assert shared.bodies() == []


def test_other_kinds_of_body_are_refused(shared: Served) -> None:
    answer = shared.post("/v1/files", {"purpose": "batch"})
    assert answer.status == 400
    assert "multipart/form-data" in str(answer.error["message"])


def test_huge_field_is_refused(shared: Served) -> None:
    field = PURPOSE.replace(b"batch", b"b" * 5_000_000)
    answer = upload(shared, field + FILE_HEAD + LINE + END)
    assert answer.status == 400
    assert "'purpose' has more than 1024 bytes" in str(answer.error["message"])


def test_file_above_its_limit_is_refused_by_its_announced_length(serve: Serve) -> None:
    served = serve(upload_bytes_max=1000)
    with served.talk() as connection:
        head = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Type: {KIND['content-type']}\r\nExpect: 100-continue\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert b"the limit is 1,000 bytes" in answer.read()


def test_file_above_its_limit_is_refused_while_it_streams(serve: Serve) -> None:
    served = serve(upload_bytes_max=1_000_000)
    pieces = (b"x" * 65_536 for _ in range(200))
    answer = upload(served, iter([FILE_HEAD, *pieces, b"\r\n", PURPOSE, b"--cut--\r\n"]))
    assert answer.status == 413
    assert (answer.error["param"], answer.error["code"]) == ("file", "request_too_large")
    assert served.bodies() == []


def test_sdk_is_told_of_a_file_that_is_too_large(serve: Serve) -> None:
    served = serve(upload_bytes_max=1_000_000, batch_bytes_max=100_000)
    for size, purpose in ((20_000_000, "user_data"), (100_001, "batch")):
        with pytest.raises(openai.APIStatusError) as caught:
            served.upload(b"1" * size, purpose=purpose)
        assert caught.value.status_code == 413
    assert served.bodies() == []


def test_endless_epilogue_is_refused(serve: Serve) -> None:
    served = serve(upload_bytes_max=1000)
    answer = upload(served, iter([PURPOSE + FILE_HEAD + LINE + END, *[b"x" * 65_536] * 10]))
    assert answer.status == 413
    assert served.bodies() == []


@pytest.mark.parametrize("length", [b"Content-Length: 500000000", b"Transfer-Encoding: chunked"])
def test_client_that_goes_away_leaves_nothing(serve: Serve, length: bytes) -> None:
    served = serve()
    chunk = bytes(1024 * 1024)
    frame = b"%x\r\n%s\r\n" % (len(chunk), chunk) if b"chunked" in length else chunk
    start = b"%x\r\n%s\r\n" % (len(FILE_HEAD), FILE_HEAD) if b"chunked" in length else FILE_HEAD
    with served.talk() as connection:
        head = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + KIND["content-type"].encode()
        connection.sendall(head + b"\r\n" + length + b"\r\n\r\n" + start)
        # More than all buffers on the way hold: when the last is sent, the server has written the first to its disk.
        for _ in range(24):
            connection.sendall(frame)
        assert len(served.bodies()) == 1
    served.stop()
    assert served.bodies() == []


def test_memory_stays_small_whatever_the_size(served: Served) -> None:
    piece = LINE * 600
    pieces = (piece for _ in range(1000))
    tracemalloc.start()
    try:
        answer = upload(
            served, (one for part in ([FILE_HEAD], pieces, [END[:2], PURPOSE, b"--cut--\r\n"]) for one in part)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.json["bytes"] == len(piece) * 1000 > 50_000_000
    assert peak < 8_000_000


def test_many_uploads_at_once_do_not_mix(served: Served) -> None:
    contents = {f"{number}.jsonl": b"[%d]\n" % number + os.urandom(300_000) for number in range(8)}
    connections = {name: http.client.HTTPConnection("127.0.0.1", served.port, timeout=30) for name in contents}
    for name, connection in connections.items():
        body = PURPOSE + FILE_HEAD.replace(b"jobs.jsonl", name.encode()) + contents[name] + END
        connection.request("POST", "/v1/files", body=body, headers=KIND)
    for connection in connections.values():
        assert connection.getresponse().read()
        connection.close()
    listed = {file.filename: served.client.files.content(file.id).read() for file in served.client.files.list()}
    assert listed == contents

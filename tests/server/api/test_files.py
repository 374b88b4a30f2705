import openai
import pytest

from tests.server.api.conftest import LINE, NOW, Answer, Serve, Served


def test_uploaded_batch_file_has_the_shape_of_openai(served: Served) -> None:
    file = served.client.files.create(file=("jobs.jsonl", LINE), purpose="batch")
    assert file.id.startswith("file-")
    assert file.model_dump() == {
        "id": file.id,
        "bytes": len(LINE),
        "created_at": NOW,
        "filename": "jobs.jsonl",
        "object": "file",
        "purpose": "batch",
        "status": "processed",
        "expires_at": NOW + 2_592_000,
        "status_details": None,
    }
    assert served.client.files.retrieve(file.id) == file
    assert served.client.files.wait_for_processing(file.id) == file


def test_only_batch_files_expire_by_themselves(served: Served) -> None:
    vision = served.client.files.create(file=("a.png", b"\x89PNG"), purpose="vision")
    assert vision.expires_at is None
    expiring = served.client.files.create(
        file=("jobs.jsonl", LINE), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert expiring.expires_at == NOW + 3600


def test_files_are_listed_newest_first_page_by_page(served: Served) -> None:
    ids = [served.upload() for _ in range(5)]
    assert [file.id for file in served.client.files.list()] == ids[::-1]
    page = served.client.files.list(limit=2)
    assert [file.id for file in page.data] == [ids[4], ids[3]]
    assert page.has_more is True
    assert [file.id for file in served.client.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in served.client.files.list(order="asc", limit=3)] == ids
    last = served.client.files.list(after=ids[1])
    assert ([file.id for file in last.data], last.has_more) == ([ids[0]], False)


def test_files_are_listed_by_purpose(served: Served) -> None:
    served.upload()
    vision = served.upload(purpose="vision")
    made = served.add_file("file-made")
    assert [file.id for file in served.client.files.list(purpose="vision")] == [vision]
    assert [file.id for file in served.client.files.list(purpose="batch_output")] == [made.id]
    assert list(served.client.files.list(purpose="nothing")) == []


def test_empty_list_has_no_ids(served: Served) -> None:
    assert served.ask("GET", "/v1/files").json == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    file_id = served.upload()
    page = served.ask("GET", "/v1/files").json
    assert (page["first_id"], page["last_id"]) == (file_id, file_id)


@pytest.mark.parametrize(
    ("query", "status", "param", "code", "message"),
    [
        (
            "limit=0",
            400,
            "limit",
            "integer_below_min_value",
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        ),
        (
            "limit=-1",
            400,
            "limit",
            "integer_below_min_value",
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got -1 instead.",
        ),
        (
            "limit=10001",
            400,
            "limit",
            "integer_above_max_value",
            "Invalid 'limit': integer above maximum value. Expected a value <= 10000, but got 10001 instead.",
        ),
        (
            "limit=many",
            400,
            "limit",
            "invalid_type",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
        ),
        (
            "limit=",
            400,
            "limit",
            "invalid_type",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
        ),
        (
            "order=random",
            400,
            "order",
            "invalid_value",
            "Invalid value: 'random'. Supported values are: 'asc', 'desc'.",
        ),
        ("after=file-x", 404, "after", None, "Resource not found."),
    ],
)
def test_wrong_list_parameter_is_refused(
    shared: Served, query: str, status: int, param: str, code: str | None, message: str
) -> None:
    answer = shared.ask("GET", f"/v1/files?{query}")
    assert answer.status == status
    assert answer.error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def test_largest_limit_and_empty_cursor_are_accepted(shared: Served) -> None:
    assert shared.ask("GET", "/v1/files?limit=10000&after=").status == 200


def test_deleted_file_is_unknown(served: Served) -> None:
    file_id = served.upload()
    assert served.client.files.delete(file_id).model_dump() == {"id": file_id, "object": "file", "deleted": True}
    assert_unknown(served, file_id)
    assert list(served.client.files.list()) == []


def test_expired_file_is_unknown(served: Served) -> None:
    file_id = served.upload()
    served.clock.advance(2_592_000)
    assert_unknown(served, file_id)


def test_file_that_never_was_is_unknown(shared: Served) -> None:
    assert_unknown(shared, "file-xyz")


def assert_unknown(served: Served, file_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        answer = served.ask(method, f"/v1/files/{file_id}{path}")
        assert answer.status == 404
        assert answer.error == {
            "message": f"No such File object: {file_id}",
            "type": "invalid_request_error",
            "param": "id",
            "code": None,
        }
    with pytest.raises(openai.NotFoundError) as caught:
        served.client.files.retrieve(file_id)
    assert caught.value.request_id is not None


def test_file_that_the_store_refuses_leaves_no_bytes(served: Served) -> None:
    served.upload()
    before = served.bodies()
    # SQLite keeps whole numbers up to 2^63: a clock beyond it makes the insert fail.
    served.clock.advance(1e30)
    answer = served.ask(
        "POST",
        "/v1/files",
        body=UPLOAD,
        headers=FORM,
    )
    assert answer.status == 500
    assert served.bodies() == before


def test_bytes_that_are_gone_while_their_file_is_there_are_trouble_with_the_storage(served: Served) -> None:
    file_id = served.upload()
    served.blobs.delete(file_id)
    answer = served.ask("GET", f"/v1/files/{file_id}/content")
    assert (answer.status, answer.error["code"]) == (503, "storage_unavailable")


UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
)
FORM = {"content-type": "multipart/form-data; boundary=b"}


def assert_full(answer: Answer) -> None:
    assert answer.status == 507
    assert answer.headers["x-should-retry"] == "false"
    assert (answer.error["code"], answer.error["type"]) == ("insufficient_storage", "server_error")


def test_upload_is_refused_while_the_disk_is_low_and_no_other_request_is(served: Served) -> None:
    file_id = served.upload()
    before = served.bodies()
    served.disk.room = 1000
    assert_full(served.ask("POST", "/v1/files", body=UPLOAD, headers=FORM))
    assert served.bodies() == before
    assert served.client.files.content(file_id).text
    served.disk.room = 10**12
    assert served.ask("POST", "/v1/files", body=UPLOAD, headers=FORM).status == 200


def test_upload_that_fills_the_disk_is_refused_and_leaves_no_bytes(serve: Serve) -> None:
    served = serve(disk_free_min_bytes=0)
    served.disk.room = 0
    assert_full(served.ask("POST", "/v1/files", body=UPLOAD, headers=FORM))
    served.disk.room, served.disk.read_only = 10**12, True
    assert_full(served.ask("POST", "/v1/files", body=UPLOAD, headers=FORM))
    assert served.bodies() == []

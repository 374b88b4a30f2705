from typing import Final

import openai
import pytest

from tests.server.api.conftest import NOW, Answer, Serve, Served
from tidyllm.core.batch import BatchStatus, BatchUsage, Problem, RequestCounts
from tidyllm.server.records import Ending, Shard, ShardReport
from tidyllm.server.store import DEFAULT_PROJECT

CHAT: Final = "/v1/chat/completions"
SHARD = Shard(number=0, line_first=1, requests=3, offset=0, length=300)


def create(served: Served, file_id: str | None = None) -> str:
    file_id = file_id or served.upload()
    return served.client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h").id


def move(served: Served, batch_id: str, status: BatchStatus) -> None:
    """Bring a new batch to where the server's own processes would bring it."""
    store = served.store
    if status is BatchStatus.FAILED:
        problem = Problem(code="empty_file", message="The input file is empty.")
        assert store.fail_batch(batch_id, problems=[problem], now=NOW + 1)
        return
    if status is BatchStatus.VALIDATING:
        return
    assert store.start_batch(batch_id, model="m", shards=[SHARD], now=NOW + 1)
    if status is BatchStatus.IN_PROGRESS:
        return
    if status in {BatchStatus.CANCELLING, BatchStatus.CANCELLED}:
        assert store.cancel_batch(DEFAULT_PROJECT, batch_id, now=NOW + 2)
    elif status is BatchStatus.EXPIRED:
        assert store.lapse_batches(now=NOW + 86_400) == 1
    else:
        work(served, batch_id)
        assert store.finalize_batches(now=NOW + 2) == 1
    if status in {BatchStatus.COMPLETED, BatchStatus.CANCELLED, BatchStatus.EXPIRED}:
        ending = Ending(
            batch_id=batch_id,
            status=status,
            files=(),
            output_file_id=None,
            error_file_id=None,
            counts=RequestCounts(total=3, completed=2, failed=1),
            usage=BatchUsage(input_tokens=10, output_tokens=5),
        )
        assert store.publish(ending, now=NOW + 3)


def work(served: Served, batch_id: str) -> None:
    served.store.add_worker("w", pid=1, now=NOW)
    (lease,) = served.store.claim_shards("w", limit=1)
    report = ShardReport(
        batch_id=batch_id,
        number=0,
        epoch=lease.epoch,
        completed=2,
        failed=1,
        usage=BatchUsage(input_tokens=10, output_tokens=5),
        done=True,
    )
    served.store.report("w", [report])


def test_new_batch_has_the_shape_of_openai(served: Served) -> None:
    file_id = served.upload()
    answer = served.post(
        "/v1/batches",
        {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", "metadata": {"run": "a7"}},
    )
    assert answer.status == 200
    assert answer.json == {
        "id": answer.json["id"],
        "object": "batch",
        "endpoint": CHAT,
        "model": None,
        "errors": None,
        "input_file_id": file_id,
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": NOW,
        "in_progress_at": None,
        "expires_at": NOW + 86_400,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        },
        "metadata": {"run": "a7"},
    }
    assert served.ask("GET", f"/v1/batches/{answer.json['id']}").json == answer.json


def test_sdk_creates_with_everything_it_can_say(served: Served) -> None:
    batch = served.client.batches.create(
        input_file_id=served.upload(),
        endpoint="/v1/responses",
        completion_window="24h",
        metadata=None,
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert served.client.batches.retrieve(batch.id) == batch
    assert batch.metadata is None
    stored = served.store.batch(DEFAULT_PROJECT, batch.id)
    assert stored is not None
    assert stored.output_expires_after_s == 3600
    assert stored.input_blob is not None


@pytest.mark.parametrize("how", ["never was", "deleted", "expired"])
def test_unknown_input_file_is_accepted_and_left_to_fail(served: Served, how: str) -> None:
    file_id = "file-nowhere" if how == "never was" else served.upload()
    if how == "deleted":
        served.client.files.delete(file_id)
    served.clock.advance(2_592_000 if how == "expired" else 0)
    batch = served.client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    assert batch.status == "validating"
    stored = served.store.batch(DEFAULT_PROJECT, batch.id)
    assert stored is not None
    assert stored.input_blob is None


def test_file_of_another_purpose_is_refused(served: Served) -> None:
    for file_id in (served.upload(purpose="user_data"), served.add_file("file-made").id):
        answer = served.post("/v1/batches", {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"})
        assert answer.status == 400
        assert (answer.error["param"], answer.error["type"]) == ("input_file_id", "invalid_request_error")
    assert list(served.client.batches.list()) == []


def assert_refused(answer: Answer, *, param: str | None, code: str | None, message: str) -> None:
    assert answer.status == 400
    assert answer.error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def test_wrong_parameters_are_refused_over_the_wire(shared: Served) -> None:
    missing = "Missing required parameter: 'input_file_id'."
    for body in (b"", b"  ", b"{}"):
        answer = shared.ask("POST", "/v1/batches", body=body, headers={"content-type": "application/json"})
        assert_refused(answer, param="input_file_id", code="missing_required_parameter", message=missing)
    with pytest.raises(openai.BadRequestError) as caught:
        shared.client.batches.create(
            input_file_id="file-1", endpoint=CHAT, completion_window="24h", extra_body={"priority": 1}
        )
    assert (caught.value.param, caught.value.code) == ("priority", "unknown_parameter")


@pytest.mark.parametrize(
    "body", [b"{", b"{'a': 1}", b'{"a": 1} x', b'"\xff"', b"[" * 100_000, b'{"metadata": {"a": "\\ud800"}}', b"\x00"]
)
def test_body_that_is_not_json_is_refused(shared: Served, body: bytes) -> None:
    answer = shared.ask("POST", "/v1/batches", body=body)
    assert answer.status == 400
    assert answer.error["param"] is None
    assert str(answer.error["message"]).startswith("The body of your request could not be read as JSON: ")


def test_body_that_is_no_object_is_refused(shared: Served) -> None:
    message = "Invalid type for 'body': expected an object, but got an array instead."
    assert_refused(shared.post("/v1/batches", []), param="body", code="invalid_type", message=message)


def test_huge_body_is_refused(serve: Serve) -> None:
    served = serve(json_body_bytes_max=1000)
    for body in (b" " * 10_000_000, iter([b" " * 65_536] * 100)):
        answer = served.ask("POST", "/v1/batches", body=body)
        assert answer.status == 413
        assert answer.error["code"] == "request_too_large"


def test_batches_are_listed_newest_first_page_by_page(served: Served) -> None:
    file_id = served.upload()
    ids = [create(served, file_id) for _ in range(25)]
    assert [batch.id for batch in served.client.batches.list()] == ids[::-1]
    assert [batch.id for batch in served.client.batches.list(limit=7)] == ids[::-1]
    page = served.ask("GET", "/v1/batches").json
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == ("list", ids[24], ids[5], True)
    page = served.ask("GET", f"/v1/batches?limit=5&after={ids[5]}").json
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[4], ids[0], False)
    page = served.ask("GET", f"/v1/batches?after={ids[0]}").json
    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_page_of_no_batches_is_empty(served: Served) -> None:
    create(served)
    page = served.ask("GET", "/v1/batches?limit=0").json
    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_hundred_is_the_largest_page(shared: Served) -> None:
    assert shared.ask("GET", "/v1/batches?limit=100&after=").status == 200
    message = "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead."
    answer = shared.ask("GET", "/v1/batches?limit=101")
    assert_refused(answer, param="limit", code="integer_above_max_value", message=message)
    message = "Invalid 'limit': integer below minimum value. Expected a value >= 0, but got -1 instead."
    answer = shared.ask("GET", "/v1/batches?limit=-1")
    assert_refused(answer, param="limit", code="integer_below_min_value", message=message)
    message = "Invalid type for 'limit': expected an integer, but got a string instead."
    assert_refused(shared.ask("GET", "/v1/batches?limit=x"), param="limit", code="invalid_type", message=message)


def test_unknown_cursor_is_not_found(shared: Served) -> None:
    answer = shared.ask("GET", "/v1/batches?after=batch_x")
    assert answer.status == 404
    assert answer.error["param"] == "after"


def test_unknown_batch_is_not_found(shared: Served) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = shared.ask(method, f"/v1/batches/batch_x{path}")
        assert answer.status == 404
        assert answer.error == {
            "message": "No batch found with id 'batch_x'.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }


@pytest.mark.parametrize("status", list(BatchStatus))
def test_every_state_is_shown_with_its_time(served: Served, status: BatchStatus) -> None:
    batch_id = create(served)
    move(served, batch_id, status)
    batch = served.client.batches.retrieve(batch_id)
    assert batch.status == status.value
    if status is not BatchStatus.VALIDATING:
        assert getattr(batch, f"{status.value}_at") is not None
    assert (batch.errors is not None) == (status is BatchStatus.FAILED)
    assert served.client.batches.list().data == [batch]


def test_finished_batch_shows_its_counts_and_usage(served: Served) -> None:
    batch_id = create(served)
    move(served, batch_id, BatchStatus.COMPLETED)
    batch = served.client.batches.retrieve(batch_id)
    assert batch.model == "m"
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 3, "completed": 2, "failed": 1}
    assert batch.usage is not None
    assert (batch.usage.input_tokens, batch.usage.output_tokens, batch.usage.total_tokens) == (10, 5, 15)


def test_failed_batch_lists_its_problems(served: Served) -> None:
    batch_id = create(served)
    move(served, batch_id, BatchStatus.FAILED)
    assert served.ask("GET", f"/v1/batches/{batch_id}").json["errors"] == {
        "object": "list",
        "data": [{"code": "empty_file", "message": "The input file is empty.", "param": None, "line": None}],
    }


@pytest.mark.parametrize("status", [BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS])
def test_batch_that_runs_can_be_cancelled(served: Served, status: BatchStatus) -> None:
    batch_id = create(served)
    move(served, batch_id, status)
    served.clock.advance(60)
    batch = served.client.batches.cancel(batch_id)
    assert (batch.status, batch.cancelling_at) == ("cancelling", NOW + 60)


@pytest.mark.parametrize("status", [BatchStatus.CANCELLING, BatchStatus.CANCELLED])
def test_cancelling_again_answers_the_same_batch(served: Served, status: BatchStatus) -> None:
    batch_id = create(served)
    move(served, batch_id, status)
    served.clock.advance(60)
    batch = served.client.batches.cancel(batch_id)
    assert (batch.status, batch.cancelling_at) == (status.value, NOW + 2)


@pytest.mark.parametrize(
    "status", [BatchStatus.FINALIZING, BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED]
)
def test_batch_that_ends_cannot_be_cancelled_and_need_not_be_asked_again(served: Served, status: BatchStatus) -> None:
    batch_id = create(served)
    move(served, batch_id, status)
    answer = served.ask("POST", f"/v1/batches/{batch_id}/cancel")
    assert answer.status == 409
    assert answer.headers["x-should-retry"] == "false"
    assert answer.error == {
        "message": f"Cannot cancel a batch with status '{status.value}'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    with pytest.raises(openai.ConflictError):
        served.client.with_options(max_retries=5).batches.cancel(batch_id)

import msgspec

from tidyllm.core.batch import BatchStatus, BatchUsage, Problem, RequestCounts
from tidyllm.server.api.shapes import batch_shape, file_shape, json_response, page_shape
from tidyllm.server.records import BatchRecord, FileRecord

NEW = BatchRecord(
    id="batch_6f0c",
    project_id="proj_default",
    endpoint="/v1/chat/completions",
    input_file_id="file-Zq3k",
    input_blob="blob",
    completion_window="24h",
    created_at=1790705881,
    expires_at=1790792281,
    metadata={"run": "a7"},
)
FILE = FileRecord(
    id="file-Zq3k",
    project_id="proj_default",
    blob="blob",
    purpose="batch",
    filename="jobs.jsonl",
    bytes=5120,
    created_at=1790700000,
    expires_at=1793292000,
)


def test_new_batch_has_every_key_and_zeros() -> None:
    # The example of spec/openai-batch 4.2.
    assert batch_shape(NEW) == {
        "id": "batch_6f0c",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "model": None,
        "errors": None,
        "input_file_id": "file-Zq3k",
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": 1790705881,
        "in_progress_at": None,
        "expires_at": 1790792281,
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


def test_every_time_of_a_batch_has_its_own_key() -> None:
    names = ["in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]
    times = {f"{name}_at": 1000 + number for number, name in enumerate(names)}
    shape = batch_shape(msgspec.structs.replace(NEW, **times))
    assert {key: shape[key] for key in times} == times


def test_counts_usage_and_files_are_shown() -> None:
    ended = msgspec.structs.replace(
        NEW,
        status=BatchStatus.COMPLETED,
        model="m",
        output_file_id="file-o",
        error_file_id="file-e",
        counts=RequestCounts(total=3, completed=2, failed=1),
        usage=BatchUsage(input_tokens=10, cached_tokens=4, output_tokens=5, reasoning_tokens=3),
    )
    shape = batch_shape(ended)
    assert (shape["status"], shape["model"]) == ("completed", "m")
    assert (shape["output_file_id"], shape["error_file_id"]) == ("file-o", "file-e")
    assert shape["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert shape["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 15,
    }


def test_problems_are_a_list_object() -> None:
    problem = Problem(code="invalid_json_line", message="This line is not parseable as valid JSON.", line=2)
    failed = msgspec.structs.replace(NEW, status=BatchStatus.FAILED, problems=(problem,))
    assert batch_shape(failed)["errors"] == {
        "object": "list",
        "data": [
            {
                "code": "invalid_json_line",
                "message": "This line is not parseable as valid JSON.",
                "param": None,
                "line": 2,
            }
        ],
    }


def test_file_is_processed_at_once() -> None:
    # The example of spec/openai-batch 2.2.
    assert file_shape(FILE) == {
        "object": "file",
        "id": "file-Zq3k",
        "purpose": "batch",
        "filename": "jobs.jsonl",
        "bytes": 5120,
        "created_at": 1790700000,
        "expires_at": 1793292000,
        "status": "processed",
        "status_details": None,
    }


def test_page_names_its_first_and_last() -> None:
    page = page_shape([{"id": "a"}, {"id": "b"}, {"id": "c"}], has_more=True)
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == ("list", "a", "c", True)
    assert page_shape([], has_more=False) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_answer_is_json() -> None:
    response = json_response(batch_shape(NEW))
    assert response.media_type == "application/json"
    assert msgspec.json.decode(response.body) == batch_shape(NEW)

"""Result lines, where those who have OpenAI's differ from it."""

import json

from tidyllm.core.reply import Outcome
from tidyllm.dialect import ResultItem
from tidyllm.dialects.openai.results import read_result


def read(**line: object) -> ResultItem:
    return read_result(json.dumps({"custom_id": "r"} | line).encode())


def test_a_message_beside_the_status_says_why_as_voyage_has_it() -> None:
    item = read(response={"status_code": 500, "message": "Internal Server Error"}, error=None)
    assert item == ResultItem(custom_id="r", outcome=Outcome.FAILED, error="500: Internal Server Error")


def test_a_code_alone_says_how_it_ended() -> None:
    item = read(response=None, error="batch_expired")
    assert item == ResultItem(custom_id="r", outcome=Outcome.EXPIRED, error="batch_expired")


def test_a_success_that_holds_an_error_is_a_failure_as_it_is_live() -> None:
    body = {"error": {"code": 502, "message": "Upstream failed."}}
    item = read(response={"status_code": 200, "request_id": "q", "body": body})
    assert item == ResultItem(custom_id="r", outcome=Outcome.FAILED, error="200: Upstream failed.", request_id="q")


def test_an_error_that_is_null_is_none() -> None:
    body = {"id": "resp_1", "error": None}
    assert read(response={"status_code": 200, "body": body}).body == json.dumps(body).encode()

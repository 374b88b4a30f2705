"""What the Batch APIs of several families share: their requests, words for states, and problems."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tidyllm.core.batch import BatchStatus, Problem
from tidyllm.core.wire import Repeat, Request
from tidyllm.dialect import Site

OPENAI_WORDS: Mapping[str, BatchStatus] = {status.value: status for status in BatchStatus}


def get_request(site: Site, path: str) -> Request:
    """Return a request that asks for what is at a path."""
    return Request(method="GET", url=site.base_url + path, headers=site.headers, auth=site.auth)


def post_request(
    site: Site,
    path: str,
    *,
    body: bytes | Path | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    repeat: Repeat = Repeat.ALWAYS,
) -> Request:
    """Return a request that sends JSON, or nothing, to a path."""
    said = headers if body is None else (("content-type", "application/json"), *headers)
    return Request(
        method="POST", url=site.base_url + path, headers=site.says(*said), body=body, auth=site.auth, repeat=repeat
    )


def known_status(word: str, words: Mapping[str, BatchStatus] = OPENAI_WORDS) -> tuple[BatchStatus, str | None]:
    """Return where a batch stands, and the provider's own word where it is none of these: nothing has ended then."""
    status = words.get(word)
    return (BatchStatus.IN_PROGRESS, word) if status is None else (status, None)


def end_moment(status: BatchStatus, at: int | None) -> dict[str, int | None]:
    """Return the field of a batch that says when it ended, for APIs that have one word for all ends."""
    return {f"{status.value}_at": at} if status.ended else {}


def read_problems(told: object) -> tuple[Problem, ...]:
    """Return why a batch was refused: told as a list, as an object that holds one, as one error, or as a text."""
    return tuple(map(_problem, _items(told)))


def _items(told: object) -> Iterator[object]:
    held = told["data"] if isinstance(told, dict) and "data" in told else told
    if isinstance(held, list):
        yield from held
    elif held:
        yield held


def _problem(told: object) -> Problem:
    if not isinstance(told, dict):
        return Problem(code="", message=str(told))
    line = told.get("line")
    return Problem(
        code=_text(told.get("code")),
        message=_text(told.get("message")),
        param=_text(told.get("param")) or None,
        line=line if isinstance(line, int) else None,
    )


def _text(told: object) -> str:
    return "" if told is None else str(told)

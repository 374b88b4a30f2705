"""What a batch of a job is made of, at its provider: the order for it, and how the requests are cut and framed."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tidyllm.client import requests
from tidyllm.client.calls import first_request
from tidyllm.client.capabilities import (
    asked_name_of,
    batch_chat_of,
    batch_embed_path_of,
    batches_of,
    embed_name_of,
    embed_of,
    limits_of,
)
from tidyllm.client.jobs import OpenJob, Remote
from tidyllm.dialect import BatchOrder, Framing
from tidyllm.provider import Model

PURPOSE = "batch"
"""What the input file is uploaded for, in OpenAI's word."""
_INPUT = "input"
"""The field of a request for vectors that has the texts."""


def order_of(job: OpenJob, remote: Remote, *, input_file_id: str | None = None) -> BatchOrder:
    """Return what one batch of a job is made of, with the token by which it can be found again."""
    model, embeds = job.model, job.record.embeds is not None
    return BatchOrder(
        name=job.record.name,
        token=remote.token,
        model=asked_name_of(model, embeds=embeds),
        path=batch_embed_path_of(model) if embeds else batch_chat_of(model).path,
        requests=job.folder.path / remote.file,
        input_file_id=input_file_id,
        shared=_shared_body(model) if embeds else {},
    )


def cuts_of(
    job: OpenJob, numbered: Iterable[tuple[int, bytes]], *, inline: bool, queue_tokens: int | None
) -> requests.Cuts:
    """Return requests, with their rows' numbers, as batches that the provider takes, each with a file of its own.

    Raises SettingError for one that no batch has room for.
    """
    room = _room_of(job.model, inline=inline, queue_tokens=queue_tokens)
    framing = _framing_of(job) if inline else requests.lines_framing
    return requests.cut(numbered, room, place=requests.places(job.folder), framing=framing)


def _shared_body(model: Model) -> dict[str, object]:
    """Return what the bodies of all requests for vectors say alike, that is all but their texts."""
    request = first_request(embed_of(model).embed(model.site, ["?"], model=embed_name_of(model), params=model.params))
    assert isinstance(request.body, bytes)  # noqa: S101 - no dialect uploads texts
    body: dict[str, object] = msgspec.json.decode(request.body)
    return {name: value for name, value in body.items() if name != _INPUT}


def _room_of(model: Model, *, inline: bool, queue_tokens: int | None) -> requests.Room:
    """Return how much a batch of a provider may hold, whose requests stand in the request that starts it or not."""
    limits, inline_max = limits_of(model), batches_of(model).inline_bytes_max
    most = min(limits.input_bytes_max, inline_max) if inline else limits.input_bytes_max
    return requests.Room(requests=limits.requests_max, size=most, tokens=queue_tokens, who=model.provider.name)


def _framing_of(job: OpenJob) -> Callable[[str, Path], Framing]:
    """Return what says, of a batch with that token and file, what stands around its requests in the body."""

    def framing(token: str, file: Path) -> Framing:
        remote = Remote(token=token, requests=0, file=file.name, inline=True)
        return batches_of(job.model).framing(order_of(job, remote))

    return framing

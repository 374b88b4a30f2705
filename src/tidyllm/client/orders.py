"""What a batch of a job is made of, at its provider: the order for it, and how the requests are cut and framed."""

import msgspec

from tidyllm.client.calls import first_request
from tidyllm.client.capabilities import batch_chat_of, batch_embed_path_of, embed_name_of, embed_of, name_of
from tidyllm.client.jobs import OpenJob, Remote
from tidyllm.dialect import BatchOrder
from tidyllm.provider import Model

_INPUT = "input"
"""The field of a request for vectors that has the texts."""


def order_of(job: OpenJob, remote: Remote, *, input_file_id: str | None = None) -> BatchOrder:
    """Return what one batch of a job is made of, with the token by which it can be found again."""
    model, embeds = job.model, job.record.embeds is not None
    return BatchOrder(
        name=job.record.name,
        token=remote.token,
        model=embed_name_of(model) if embeds else name_of(model),
        path=batch_embed_path_of(model) if embeds else batch_chat_of(model).path,
        requests=job.folder.path / remote.file,
        input_file_id=input_file_id,
        shared=_shared_body(model) if embeds else {},
    )


def _shared_body(model: Model) -> dict[str, object]:
    """Return what the bodies of all requests for vectors say alike, that is all but their texts."""
    request = first_request(embed_of(model).embed(model.site, ["?"], model=embed_name_of(model), params=model.params))
    assert isinstance(request.body, bytes)  # noqa: S101 - no dialect uploads texts
    body: dict[str, object] = msgspec.json.decode(request.body)
    return {name: value for name, value in body.items() if name != _INPUT}

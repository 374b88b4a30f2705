"""Having a conversation answered, at once or in pieces: the two calls that all dialects share."""

from collections.abc import Callable
from functools import cached_property
from typing import TypeAlias

import msgspec

from tidyllm.core.crossing import Listener, told
from tidyllm.core.errors import BadAnswerError, StreamCutError
from tidyllm.core.message import Conversation
from tidyllm.core.params import Params
from tidyllm.core.problem import SHOWN_CHARACTERS, read_problem
from tidyllm.core.reply import Reply
from tidyllm.core.schema import Schema
from tidyllm.core.wire import Call, Request, Response
from tidyllm.dialect import ChatDialect, Site
from tidyllm.dialects.errors import api_error, request_id, success
from tidyllm.dialects.media import counts_as


class Asked(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Who is asked, and how; what is said to them alike for every conversation is made once."""

    dialect: ChatDialect
    site: Site
    model: str
    params: Params
    schema: Schema | None = None
    """What the answer must look like, if that was said."""

    @cached_property
    def listener(self) -> Listener:
        """Return who is told."""
        return Listener(self.site.provider, self.model, self.dialect.api)

    @cached_property
    def blank(self) -> Request:
        """Return a request for a whole answer, but for what is asked."""
        return _blank(self, streamed=False)

    @cached_property
    def blank_streamed(self) -> Request:
        """Return the same for an answer in pieces."""
        return _blank(self, streamed=True)


_LINE_ENDS = b"\n\n"
"""What ends the last piece of a stream; some servers leave it out."""

Asker: TypeAlias = Callable[[Asked, Conversation], Call[Reply]]
"""One of the two calls below."""


def ask(asked: Asked, conversation: Conversation) -> Call[Reply]:
    """Return the model's answer to a conversation, with all that is known of how it came."""
    response = yield _request(asked, conversation, streamed=False)
    return _read(success(response, asked.site), response, asked=asked)


def stream(asked: Asked, conversation: Conversation) -> Call[Reply]:
    """Return the same, of an answer that is watched while it comes.

    Raises StreamCutError where it does not come to its end, ApiError where the API says in mid-stream that it failed.
    """
    request = _request(asked, conversation, streamed=True)
    response = yield request
    body = success(response, asked.site)
    if _is_whole(response):
        return _read(body, response, asked=asked)
    # Read once more from its beginning: whoever watched has read it in pieces, or nobody watched, or only a part of it.
    decoder = asked.dialect.decoder()
    text = "".join(decoder.feed(body))
    if decoder.problem is not None:
        raise api_error(read_problem(decoder.problem), response, site=asked.site)
    if not decoder.whole:
        decoder.feed(_LINE_ENDS)
    if not decoder.whole and not text and _is_page(response):
        raise _unusable("A web page came in place of a stream.", response, asked=asked)
    if not decoder.whole:
        raise StreamCutError(
            f"{asked.site.provider} ended the stream before the answer was at its end.", url=request.url, text=text
        )
    return _completed(decoder.reply(), response, asked=asked)


def _request(asked: Asked, conversation: Conversation, *, streamed: bool) -> Request:
    seen = told(conversation, asked.listener)
    said = asked.dialect.body(asked.model, seen, params=asked.params, streamed=streamed, schema=asked.schema)
    body = msgspec.json.encode(said)
    blank = asked.blank_streamed if streamed else asked.blank
    return msgspec.structs.replace(blank, body=body, counts_as=counts_as(len(body), seen))


def _blank(asked: Asked, *, streamed: bool) -> Request:
    dialect, site, model = asked.dialect, asked.site, asked.model
    return Request(
        method="POST",
        url=dialect.url(site, model, streamed=streamed),
        headers=site.says(*dialect.headers, ("content-type", "application/json")),
        auth=site.auth,
        lane=site.lane(model),
        timeout_s=site.timeout_s,
        decoder=dialect.decoder if streamed else None,
    )


def _is_whole(response: Response) -> bool:
    """Whether the answer came as one JSON text although a stream was asked for, as some servers do."""
    return response.headers.get("content-type", "").startswith("application/json")


def _is_page(response: Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/html")


def _read(body: bytes, response: Response, *, asked: Asked) -> Reply:
    """Return what a whole answer says. Raises BadAnswerError, which says who answered and with what."""
    try:
        reply = asked.dialect.read(body)
    except BadAnswerError as fault:
        raise _unusable(str(fault), response, asked=asked) from fault
    return _completed(reply, response, asked=asked)


def _unusable(fault: str, response: Response, *, asked: Asked) -> BadAnswerError:
    who, body = f"{asked.site.provider} at {asked.site.base_url}", response.body
    begins = body[:SHOWN_CHARACTERS].decode(errors="replace")
    error = BadAnswerError(f"{who} gave an answer that cannot be used. {fault} It begins: {begins}", body=body)
    error.attempts, error.seconds = response.attempts, response.seconds
    return error


def _completed(reply: Reply, response: Response, *, asked: Asked) -> Reply:
    return msgspec.structs.replace(
        reply,
        provider=asked.site.provider,
        asked=asked.model,
        request_id=request_id(response.headers) or reply.request_id,
        seconds=response.seconds,
        attempts=response.attempts,
        body=response.body,
    )

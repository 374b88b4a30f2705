"""From what a model answered to how the row ended that asked: `ok`, or why not."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from tidyllm.client.capabilities import batch_chat_of, embed_name_of, embed_of
from tidyllm.client.estimate import batch_priced
from tidyllm.client.jobs import JobRecord, api_of
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError, InvalidAnswerError
from tidyllm.core.reply import Answer, Outcome, Reply
from tidyllm.core.schema import Schema
from tidyllm.core.wire import Response
from tidyllm.dialect import ResultItem
from tidyllm.provider import Model

Judge: TypeAlias = Callable[[ResultItem], Answer]
"""Says how a row ended that a batch tells of."""


def judged(custom_id: str, reply: Reply, *, schema: Schema | None) -> Answer:
    """Return how a row ended that was answered: an answer that does not fit its schema is `invalid`."""
    outcome, error = reply.outcome, reply.refusal
    if outcome is Outcome.INVALID:
        error = f"The answer holds no text; its finish is {reply.finish!r}."
    if schema is not None and outcome is Outcome.OK and reply.text is not None:
        try:
            schema.read_as(reply.text)
        except InvalidAnswerError as fault:
            outcome, error = Outcome.INVALID, str(fault)
    return Answer(custom_id=custom_id, outcome=outcome, error=error, reply=reply)


def judge_of(record: JobRecord, model: Model) -> Judge:
    """Return what reads the results of a job, whatever it asked for."""
    if record.embeds is not None:
        return _vector_judge(model)
    return _chat_judge(msgspec.structs.replace(model, api=api_of(record, model.provider)), record.schema)


def _chat_judge(model: Model, schema: Schema | None) -> Judge:
    chat, told = batch_chat_of(model), {"provider": model.provider.name, "asked": model.chat_name}

    def read(item: ResultItem, body: bytes) -> Answer:
        reply = msgspec.structs.replace(chat.read(body), **told)
        answer = judged(item.custom_id, batch_priced(reply, model), schema=schema)
        return msgspec.structs.replace(answer, request_id=item.request_id)

    return lambda item: _judge(item, read)


def _vector_judge(model: Model) -> Judge:
    dialect, name = embed_of(model), embed_name_of(model)

    def read(item: ResultItem, body: bytes) -> Answer:
        # Read as the answer to a request of that one text.
        call = dialect.embed(model.site, ["?"], model=name, params=model.params)
        next(call)
        try:
            call.send(Response(status=200, body=body))
        except StopIteration as end:
            found: Embeddings = end.value
        return Answer(custom_id=item.custom_id, outcome=Outcome.OK, vector=found.vectors, request_id=item.request_id)

    return lambda item: _judge(item, read)


def _judge(item: ResultItem, read: Callable[[ResultItem, bytes], Answer]) -> Answer:
    if item.body is None:
        return Answer(custom_id=item.custom_id, outcome=item.outcome, error=item.error, request_id=item.request_id)
    try:
        return read(item, item.body)
    except BadAnswerError as fault:
        error = str(fault)
    except Exception as fault:  # noqa: BLE001 - whatever is wrong with one answer, or with us, must not cost the others
        error = f"The answer is in the job's folder, but this version of tidyllm cannot read it: {fault!r}"
    return Answer(custom_id=item.custom_id, outcome=Outcome.INVALID, error=error, request_id=item.request_id)

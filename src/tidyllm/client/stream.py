"""An answer that is watched while it comes: the verb `stream` with its async twin, and what they give."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Literal, Self, overload

import msgspec

from tidyllm.client.calls import transport_for
from tidyllm.client.chat import LLMMessage, answering, opened, planned
from tidyllm.client.preview import Preview
from tidyllm.client.schemas import schema_of
from tidyllm.core.errors import BrokenConnectionError, SettingError, StreamCutError
from tidyllm.core.schema import Schema
from tidyllm.dialects.asking import stream as streaming
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.background import BACKGROUND, LOOK_UP_S
from tidyllm.transport.drive import adrive


class _Flow:
    """An answer on its way to whoever watches; nobody but the exchange holds it, and it ends when nobody watches."""

    def __init__(
        self, talk: LLMMessage, model: Model, *, schema: Schema | None, put: Callable[[str | None], None]
    ) -> None:
        self.wanted = True
        self._put = put
        """Takes each piece, and None after the last; from whichever thread."""
        self._said: list[str] = []
        self._call = answering([talk], model, how=streaming, schema=schema)[0]
        self._transport = msgspec.structs.replace(transport_for(model, lets_go=True), watcher=self)

    async def run(self) -> LLMMessage:
        """Return the conversation with the answer, once all of it has come."""
        try:
            talk = await adrive(self._call, self._transport)
        except StreamCutError:
            raise
        except BrokenConnectionError as error:
            if not self._said:
                raise
            raise StreamCutError(f"The stream broke off. {error}", url=error.url, text="".join(self._said)) from error
        else:
            # A server that does not stream sends all at once, and one that leaves out the last line end its last piece.
            whole, said = talk.turns[-1].text, "".join(self._said)
            if whole.startswith(said) and whole != said:
                self.see(whole.removeprefix(said))
            return talk
        finally:
            if self.wanted:
                self.wanted = False
                self._put(None)

    def see(self, piece: str) -> None:
        """See `Watcher`."""
        if self.wanted:
            self._said.append(piece)
            self._put(piece)


class Stream(Iterator[str]):
    """The pieces of an answer's text, as they come; afterwards `result()` has the conversation with the whole answer.

        answer = stream("Who was Konrad Zuse?", openai())
        for piece in answer:
            print(piece, end="")
        talk = answer.result()

    Whoever stops watching, by `close()` or by leaving a `with`, ends the answer; what had come of it is lost.
    """

    def __init__(self, talk: LLMMessage, model: Model, *, schema: Schema | None = None) -> None:
        self._pieces: SimpleQueue[str | None] = SimpleQueue()
        self._flow = _Flow(talk, model, schema=schema, put=self._pieces.put)
        self._future: Future[LLMMessage] = BACKGROUND.start_watched(self._flow.run())
        self._ended = False

    def __next__(self) -> str:
        if not self._ended and (piece := self._wait()) is not None:
            return piece
        self._ended = True
        self._future.result()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_flow"):
            self._flow.wanted = False

    def result(self) -> LLMMessage:
        """Return the conversation with the whole answer, once all of it has come.

        Raises what the answer met: StreamCutError where it ended before its end, ApiError where the provider says that
        it failed, and the other errors of `chat`; SettingError where the watching was ended before.
        """
        for _ in self:
            pass
        return self._future.result()

    def close(self) -> None:
        """Stop watching: the connection ends with the next bytes that come. Does nothing once all has come."""
        if self._flow.wanted:
            self._flow.wanted = False
            self._future.cancel()
            self._future = _stopped()
            self._pieces.put(None)

    def _wait(self) -> str | None:
        try:
            while True:
                try:
                    return self._pieces.get(timeout=LOOK_UP_S)
                except Empty:  # a wait without end is deaf to Ctrl-C: see transport/background.py
                    continue
        except BaseException:
            self.close()
            raise


class AsyncStream(AsyncIterator[str]):
    """What `Stream` is, for `async for`; `await answer.result()` has the conversation with the whole answer."""

    def __init__(self, talk: LLMMessage, model: Model, *, schema: Schema | None = None) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError as error:
            raise SettingError("astream is for use inside a running event loop; elsewhere use stream.") from error
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        loop, take = self._loop, self._pieces.put_nowait
        self._flow = _Flow(talk, model, schema=schema, put=lambda piece: _hand_over(loop, take, piece=piece))
        self._future: asyncio.Future[LLMMessage] = asyncio.ensure_future(self._flow.run())
        self._future.add_done_callback(_look_at)
        self._ended = False

    async def __anext__(self) -> str:
        if not self._ended and (piece := await self._wait()) is not None:
            return piece
        self._ended = True
        await self._future
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_flow"):
            self._flow.wanted = False

    async def result(self) -> LLMMessage:
        """Do what `Stream.result` does."""
        async for _ in self:
            pass
        return await self._future

    def close(self) -> None:
        """Do what `Stream.close` does."""
        if self._flow.wanted:
            self._flow.wanted = False
            self._future.cancel()
            self._future = asyncio.wrap_future(_stopped())
            self._future.add_done_callback(_look_at)
            self._pieces.put_nowait(None)

    async def _wait(self) -> str | None:
        try:
            return await self._pieces.get()
        except BaseException:
            self.close()
            raise


@overload
def stream(
    data: str | LLMMessage, provider: Model | str, *, schema: object = None, dry_run: Literal[False] = False
) -> Stream: ...
@overload
def stream(
    data: str | LLMMessage, provider: Model | str, *, schema: object = None, dry_run: Literal[True]
) -> Preview: ...
def stream(
    data: str | LLMMessage, provider: Model | str, *, schema: object = None, dry_run: bool = False
) -> Stream | Preview:
    """Have a conversation answered, and watch the answer come: iterate over the pieces of its text.

        for piece in stream("Who was Konrad Zuse?", openai()):
            print(piece, end="", flush=True)

    The whole answer, with its thoughts, citations and tokens, is in the conversation that `result()` gives. It is asked
    for at once, when this is called. `schema` is as in `chat`. With `dry_run` you get what would be sent, and no more.

    Raises SettingError as `chat` does; while you iterate, StreamCutError where the answer ends before its end, and
    ApiError and its kin as the provider answers. An answer of which pieces were seen is never asked for again.
    """
    talk, model, wanted = _one(data), resolve_model(provider), None if schema is None else schema_of(schema)
    if dry_run:
        return planned([talk], model, how=streaming, schema=wanted)[0]
    return Stream(talk, model, schema=wanted)


@overload
def astream(
    data: str | LLMMessage, provider: Model | str, *, schema: object = None, dry_run: Literal[False] = False
) -> AsyncStream: ...
@overload
def astream(
    data: str | LLMMessage, provider: Model | str, *, schema: object = None, dry_run: Literal[True]
) -> Preview: ...
def astream(
    data: str | LLMMessage, provider: Model | str, *, schema: object = None, dry_run: bool = False
) -> AsyncStream | Preview:
    """Do what `stream` does, for `async for`; called inside a running loop."""
    talk, model, wanted = _one(data), resolve_model(provider), None if schema is None else schema_of(schema)
    if dry_run:
        return planned([talk], model, how=streaming, schema=wanted)[0]
    return AsyncStream(talk, model, schema=wanted)


def _one(data: object) -> LLMMessage:
    if isinstance(data, list):
        raise SettingError("stream takes one conversation; for a list of them: chat.")
    return opened(data)[0]


def _stopped() -> "Future[LLMMessage]":
    """Return what a stream ends with that nobody watches any more."""
    future: Future[LLMMessage] = Future()
    future.set_exception(SettingError("The stream was closed before the answer was at its end: there is no result."))
    return future


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[[str | None], None], *, piece: str | None) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(take, piece)


def _look_at(future: "asyncio.Future[LLMMessage]") -> None:
    """Look at what became of it, for one that nobody watched to its end is no mistake to be told of."""
    if not future.cancelled():
        future.exception()

"""The verb that turns texts into vectors, with its async twin."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, overload

import msgspec

from tidyllm.client.calls import shown, transport_for
from tidyllm.client.preview import Preview, preview
from tidyllm.client.targets import embed_name_of, embed_of
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import PartlyFailedError, SettingError
from tidyllm.core.text import sendable
from tidyllm.core.wire import Call
from tidyllm.dialect import EmbedDialect, Site
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.many import adrive_all, drive_all

if TYPE_CHECKING:
    import polars as pl


@overload
def embed(texts: str | list[str], provider: Model | str, *, dry_run: Literal[False] = False) -> "pl.DataFrame": ...
@overload
def embed(texts: str, provider: Model | str, *, dry_run: Literal[True]) -> Preview: ...
@overload
def embed(texts: list[str], provider: Model | str, *, dry_run: Literal[True]) -> list[Preview]: ...
def embed(
    texts: str | list[str], provider: Model | str, *, dry_run: bool = False
) -> "pl.DataFrame | Preview | list[Preview]":
    """Turn texts into vectors: a table with the columns `input` and `embeddings`, one row a text, in their order.

        embed(table["text"].to_list(), openai("text-embedding-3-small", dimensions=256))

    `embeddings` holds 32-bit floats, `pl.Array(pl.Float32, n)`. A list too long for one request becomes several, asked
    at the same time. An empty list gives an empty table, whose vectors are of the length `dimensions=`, or 0 where none
    is asked for, since no model was asked. With `dry_run` you get what would be sent, one `Preview` a request.

    Raises SettingError, before anything is sent, for a text that is empty and for an option that is not for embeddings;
    ApiError and its kin as the provider answers; PartlyFailedError, whose `results` has the tables of the requests that
    were answered, where others were not.
    """
    order = _ordered(texts, resolve_model(provider))
    if dry_run:
        previews = [preview(call) for call in order.calls(shown(order.model).site)]
        return previews if isinstance(texts, list) else previews[0]
    calls, transport = order.calls(order.model.site), transport_for(order.model, lets_go=True)
    return _frame(order, drive_all(calls, transport))


@overload
async def aembed(
    texts: str | list[str], provider: Model | str, *, dry_run: Literal[False] = False
) -> "pl.DataFrame": ...
@overload
async def aembed(texts: str, provider: Model | str, *, dry_run: Literal[True]) -> Preview: ...
@overload
async def aembed(texts: list[str], provider: Model | str, *, dry_run: Literal[True]) -> list[Preview]: ...
async def aembed(
    texts: str | list[str], provider: Model | str, *, dry_run: bool = False
) -> "pl.DataFrame | Preview | list[Preview]":
    """Return what `embed` does."""
    order = _ordered(texts, resolve_model(provider))
    if dry_run:
        previews = [preview(call) for call in order.calls(shown(order.model).site)]
        return previews if isinstance(texts, list) else previews[0]
    calls, transport = order.calls(order.model.site), transport_for(order.model, lets_go=True)
    results = await adrive_all(calls, transport)
    return await asyncio.to_thread(_frame, order, results)


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and of whom."""

    model: Model
    name: str
    dialect: EmbedDialect
    parts: list[list[str]]
    """The texts of each request."""

    def calls(self, site: Site) -> list[Call[Embeddings]]:
        """Return the requests' calls."""
        return [self.dialect.embed(site, part, model=self.name, params=self.model.params) for part in self.parts]


def _ordered(texts: str | list[str], model: Model) -> _Order:
    dialect = embed_of(model)
    parts = list(_parts(_checked(texts), inputs_max=dialect.inputs_max, bytes_max=dialect.bytes_max))
    return _Order(model=model, name=embed_name_of(model), dialect=dialect, parts=parts)


def _checked(texts: object) -> list[str]:
    """Return the texts. Raises SettingError for what no vector stands for, and for what no request can hold."""
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list):
        raise SettingError(
            f"embed takes a text or a list of texts, not {type(texts).__name__}. Of a table: table[column].to_list()."
        )
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise SettingError(f"Text {number} is no text but {type(text).__name__}: fill it or leave it out.")
        if not text:
            raise SettingError(f"Text {number} is empty, and no vector stands for nothing: leave it out.")
        sendable(text, called=f"Text {number}")
    return texts


def _parts(texts: Sequence[str], *, inputs_max: int, bytes_max: int) -> Iterator[list[str]]:
    """Yield the texts of each request: as many as it may hold, but one at least, however long it is."""
    part: list[str] = []
    part_bytes = 0
    for text in texts:
        text_bytes = len(text.encode())
        if part and (len(part) == inputs_max or part_bytes + text_bytes > bytes_max):
            yield part
            part, part_bytes = [], 0
        part.append(text)
        part_bytes += text_bytes
    if part:
        yield part


def _frame(order: _Order, results: Sequence[Embeddings | Exception]) -> "pl.DataFrame":
    """Return the whole table. Raises what the first request met where none was answered; else PartlyFailedError."""
    # Imported here, because it loads polars.
    from tidyllm.client.frame import embeddings_frame  # noqa: PLC0415

    answered = [result for result in results if isinstance(result, Embeddings)]
    failures = [result for result in results if isinstance(result, Exception)]
    if failures and not answered:
        raise failures[0]
    vectors = [vector for result in answered for vector in result.vectors]
    lengths = sorted({len(vector) // 4 for vector in vectors})
    if failures or len(lengths) > 1:
        fault = (
            f"{len(failures)} of {len(results)} requests for vectors were not answered, the first so: {failures[0]}"
            if failures
            else f"{order.model.provider.name} answered with vectors of several lengths: {lengths}."
        )
        tables = tuple(
            embeddings_frame(part, result.vectors) if isinstance(result, Embeddings) else result
            for part, result in zip(order.parts, results, strict=True)
        )
        cause = failures[0] if failures else None
        raise PartlyFailedError(
            f"{fault} The exception's `results` has a table for each request that was answered.", results=tables
        ) from cause
    texts = [text for part in order.parts for text in part]
    return embeddings_frame(texts, vectors, empty=order.model.params.dimensions or 0)

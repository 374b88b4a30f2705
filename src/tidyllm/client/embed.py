"""The verb that turns texts and images into vectors, with its async twin."""

import asyncio
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from tidyllm.client.calls import shown, transport_for
from tidyllm.client.embed_order import OnError, Order, ordered, read_media
from tidyllm.client.preview import Preview, preview
from tidyllm.core.media import Media
from tidyllm.core.wire import Call
from tidyllm.provider import Model, resolve_model
from tidyllm.transport.many import adrive_all, drive_all

if TYPE_CHECKING:
    import polars as pl
    from narwhals.typing import IntoDataFrame, IntoDataFrameT, IntoSeries

Given: TypeAlias = str | Media
"""What a vector stands for."""


@overload
def embed(
    data: "Given | list[str] | list[Media] | list[Given] | IntoSeries",
    provider: Model | str,
    *,
    dry_run: Literal[False] = False,
) -> "pl.DataFrame": ...
@overload
def embed(
    data: "IntoDataFrameT",
    provider: Model | str,
    *,
    column: str | None = None,
    media: str | None = None,
    on_error: OnError = "row",
    dry_run: Literal[False] = False,
) -> "IntoDataFrameT": ...
@overload
def embed(data: Given, provider: Model | str, *, dry_run: Literal[True]) -> Preview: ...
@overload
def embed(
    data: "list[str] | list[Media] | list[Given] | IntoSeries | IntoDataFrame",
    provider: Model | str,
    *,
    column: str | None = None,
    media: str | None = None,
    dry_run: Literal[True],
) -> list[Preview]: ...
def embed(
    data: "Given | list[str] | list[Media] | list[Given] | IntoSeries | IntoDataFrame",
    provider: Model | str,
    *,
    column: str | None = None,
    media: str | None = None,
    on_error: OnError = "row",
    dry_run: bool = False,
) -> "IntoDataFrame | Preview | list[Preview]":
    """Turn texts into vectors: the table that holds the texts, with the column `embeddings` beside its own.

        reviews = embed(reviews, openai("text-embedding-3-small", dimensions=256), column="text")
        photos = embed(photos, voyage("voyage-multimodal-3.5"), media="path")

    A list of texts gives a table with the columns `input` and `embeddings`, and so does a column of whichever library.
    `embeddings` holds 32-bit floats, `pl.Array(pl.Float32, n)`; in pandas too it is Arrow's list of a fixed size.
    `column` says which of a table's columns holds the texts, where several could. Where the model makes vectors of
    images too, a list may hold what `image` makes, and `media` names a column of a table whose cells are paths, https
    URLs, bytes or such values.

    Equal texts are asked once. What is too long for one request becomes several, asked at the same time. Vectors are in
    memory twice at most, and once at the end: 100,000 of 1,024 numbers take 0.4 GB, and 1 GB for a moment.

    A table has two more columns, `llm_status` and `llm_error`. A row without a text has no vector and a null in both;
    it is not sent. Where a request is not answered its rows have no vector, the status `failed`, or `invalid` for an
    answer that cannot be used, and the reason. The log counts both. With `on_error="raise"` PartlyFailedError is raised
    instead, when all is done, and its `results` holds that table.

    Where there is no vector at all, the vectors are of the length `dimensions=`, or 0 where none was asked for. With
    `dry_run` you get what would be sent, one `Preview` a request.

    Raises SettingError, before anything is sent, for a text in a list or column that is empty or none, for columns of a
    table that the new ones would collide with, and for an option that is not for embeddings. For a list or column, also
    ApiError and its kin as the provider answers; PartlyFailedError, whose `results` has the tables of the requests that
    were answered, where others were not. So has the KeyboardInterrupt of Ctrl-C.
    """
    order = ordered(data, resolve_model(provider), column=column, media=media, on_error=on_error)
    if dry_run:
        return _planned(order, data)
    calls, transport = _calls(order), transport_for(order.model, lets_go=True)
    try:
        results = drive_all(calls, transport)
    except KeyboardInterrupt as stop:
        stop.results = _apart(order, getattr(stop, "results", []))  # type: ignore[attr-defined]
        raise
    return _table(order, results)


@overload
async def aembed(
    data: "Given | list[str] | list[Media] | list[Given] | IntoSeries",
    provider: Model | str,
    *,
    dry_run: Literal[False] = False,
) -> "pl.DataFrame": ...
@overload
async def aembed(
    data: "IntoDataFrameT",
    provider: Model | str,
    *,
    column: str | None = None,
    media: str | None = None,
    on_error: OnError = "row",
    dry_run: Literal[False] = False,
) -> "IntoDataFrameT": ...
@overload
async def aembed(data: Given, provider: Model | str, *, dry_run: Literal[True]) -> Preview: ...
@overload
async def aembed(
    data: "list[str] | list[Media] | list[Given] | IntoSeries | IntoDataFrame",
    provider: Model | str,
    *,
    column: str | None = None,
    media: str | None = None,
    dry_run: Literal[True],
) -> list[Preview]: ...
async def aembed(
    data: "Given | list[str] | list[Media] | list[Given] | IntoSeries | IntoDataFrame",
    provider: Model | str,
    *,
    column: str | None = None,
    media: str | None = None,
    on_error: OnError = "row",
    dry_run: bool = False,
) -> "IntoDataFrame | Preview | list[Preview]":
    """Return what `embed` does."""
    model = resolve_model(provider)
    order = await asyncio.to_thread(ordered, data, model, column=column, media=media, on_error=on_error)
    if dry_run:
        return _planned(order, data)
    calls, transport = await asyncio.to_thread(_calls, order), transport_for(order.model, lets_go=True)
    results = await adrive_all(calls, transport)
    return await asyncio.to_thread(_table, order, results)


def _planned(order: Order, data: object) -> Preview | list[Preview]:
    calls = zip(order.calls(shown(order.model).site), order.parts, strict=True)
    previews = [preview(call, media=read_media(part)) for call, part in calls]
    return previews[0] if isinstance(data, str | Media) else previews


def _calls(order: Order) -> "list[Call[pl.Series]]":
    # Imported here, because it loads polars; and before the answers come, which are put in columns as they do.
    from tidyllm.client.vector_frame import in_column  # noqa: PLC0415

    return [in_column(call) for call in order.calls(order.model.site)]


def _table(order: Order, results: "list[pl.Series | Exception]") -> "IntoDataFrame":
    # Imported here, because it loads polars.
    from tidyllm.client.embed_table import table_as_one, table_by_row  # noqa: PLC0415

    return table_by_row(order, results) if order.by_row else table_as_one(order, results)


def _apart(order: Order, results: "list[pl.Series | Exception | None]") -> list[object]:
    # Imported here, because it loads polars.
    from tidyllm.client.embed_table import tables_apart  # noqa: PLC0415

    return tables_apart(order, results)

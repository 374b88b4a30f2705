"""Texts into vectors: the verb, over one request or several."""

import asyncio
import json
from typing import assert_type

import polars as pl
import pytest

from tidyllm import aembed, chat, embed, local, openai, using
from tidyllm.client.preview import Preview
from tidyllm.core.errors import BadRequestError, PartlyFailedError, SettingError
from tidyllm.core.wire import Request, Response
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.providers.voyage import voyage
from tidyllm.transport.concurrency import LIMIT_FIRST

SCHEMA = {"input": pl.String(), "embeddings": pl.Array(pl.Float32, 2)}
REQUEST_BYTES_MAX = EmbeddingsApi().bytes_max
LONG = "x" * REQUEST_BYTES_MAX
"""A text that fills a request."""
OTHER = "y" * REQUEST_BYTES_MAX


class Measurer:
    """A model whose vectors are a text's length and 0.5; of a text that begins with `odd` it makes a longer vector.

    A request with a text that begins with `bad` it will not take. It answers once so many requests are there.
    """

    def __init__(self, *, waits_for: int = 1) -> None:
        self.asked: list[list[str]] = []
        self.in_flight_max = 0
        self._in_flight = 0
        self._waits_for = waits_for
        self._enough = asyncio.Event()

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        texts = json.loads(request.body)["input"]
        self.asked.append(texts)
        self._in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self._in_flight)
        if len(self.asked) >= self._waits_for:
            self._enough.set()
        await self._enough.wait()
        await asyncio.sleep(0)
        self._in_flight -= 1
        if bad := [text for text in texts if text.startswith("bad")]:
            return Response(status=400, body=json.dumps({"error": {"message": bad[0][:9]}}).encode())
        data = [{"embedding": [len(text), 0.5] + [1] * text.startswith("odd")} for text in texts]
        return Response(status=200, body=json.dumps({"data": data}).encode())


def test_each_text_is_a_row_with_its_vector() -> None:
    with using(Measurer()):
        table = embed(["a", "bcd"], openai())
    assert dict(table.schema) == SCHEMA
    assert table.rows() == [("a", [1.0, 0.5]), ("bcd", [3.0, 0.5])]


def test_a_single_text_is_a_table_of_one_row() -> None:
    measurer = Measurer()
    with using(measurer):
        table = embed("abc", "openai/text-embedding-3-large")
    assert table.rows() == [("abc", [3.0, 0.5])]
    assert measurer.asked == [["abc"]]


def test_a_long_list_is_asked_in_several_requests_and_joined_in_its_order() -> None:
    measurer = Measurer(waits_for=LIMIT_FIRST)
    texts = [f"{number:0{number % 7 + 5}}" for number in range(2 * LIMIT_FIRST * 1000 + 1)]
    with using(measurer):
        table = embed(texts, voyage())
    assert [len(part) for part in measurer.asked] == [1000] * 2 * LIMIT_FIRST + [1]
    assert measurer.in_flight_max == LIMIT_FIRST
    assert table["input"].to_list() == texts
    assert table["embeddings"].arr.first().to_list() == [len(text) for text in texts]


def test_long_texts_are_spread_over_requests() -> None:
    measurer = Measurer(waits_for=3)
    half = "x" * (REQUEST_BYTES_MAX // 2)
    texts = [half, "y" + half[1:], "é" * (REQUEST_BYTES_MAX // 2 + 1), "a"]
    with using(measurer):
        assert embed(texts, openai()).height == 4
    assert sorted(len(part) for part in measurer.asked) == [1, 1, 2]


def test_equal_texts_are_asked_once() -> None:
    measurer = Measurer()
    with using(measurer):
        table = embed(["b", "aa", "b", "aa", "c"], openai())
    assert measurer.asked == [["b", "aa", "c"]]
    assert table["input"].to_list() == ["b", "aa", "b", "aa", "c"]
    assert table["embeddings"].arr.first().to_list() == [1, 2, 1, 2, 1]


def test_an_empty_list_is_an_empty_table_and_nothing_is_sent() -> None:
    measurer = Measurer()
    with using(measurer):
        table, chosen = embed([], openai()), embed([], openai(dimensions=2))
    assert (table.height, table.schema["embeddings"]) == (0, pl.Array(pl.Float32, 0))
    assert dict(chosen.schema) == SCHEMA
    assert measurer.asked == []


def test_a_failure_of_one_request_costs_no_vector_of_the_others() -> None:
    with using(Measurer()), pytest.raises(PartlyFailedError, match=r"2 of 4 requests .*bad 1") as caught:
        embed([LONG, "bad 1" + LONG, OTHER, "bad 2" + LONG], openai())
    results = caught.value.results
    assert [type(one) for one in results] == [pl.DataFrame, BadRequestError, pl.DataFrame, BadRequestError]
    assert isinstance(results[2], pl.DataFrame)
    assert results[2].rows() == [(OTHER, [float(REQUEST_BYTES_MAX), 0.5])]
    assert caught.value.__cause__ is results[1]


def test_where_nothing_was_answered_the_first_failure_is_raised() -> None:
    with using(Measurer()):
        with pytest.raises(BadRequestError, match="bad 1"):
            embed("bad 1", openai())
        with pytest.raises(BadRequestError, match="bad 1"):
            embed(["bad 1" + LONG, "bad 2" + LONG], openai())


def test_vectors_of_other_lengths_from_another_request_cost_none_of_them() -> None:
    with using(Measurer()), pytest.raises(PartlyFailedError, match=r"openai .* several lengths: \[2, 3\]") as caught:
        embed([LONG, "odd" + LONG], openai())
    assert [table.height for table in caught.value.results if isinstance(table, pl.DataFrame)] == [1, 1]


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["a", None], "Text 2 is no text but NoneType"),
        (["a", ""], "Text 2 is empty"),
        ("", "Text 1 is empty"),
        (["half \ud800"], "half a character"),
        (3, "no table of polars, pandas or Arrow, but"),
    ],
)
def test_what_no_vector_can_stand_for_is_refused_before_anything_is_sent(texts: object, why: str) -> None:
    measurer = Measurer()
    with using(measurer), pytest.raises(SettingError, match=why):
        embed(texts, openai())  # type: ignore[call-overload]
    assert measurer.asked == []


def test_an_option_that_is_not_for_the_verb_is_refused() -> None:
    measurer = Measurer()
    with using(measurer):
        with pytest.raises(SettingError, match="embed takes no temperature="):
            embed(["a", LONG], openai(temperature=0))
        with pytest.raises(SettingError, match=r"takes no dimensions=\. It is for the verb embed"):
            chat("a", openai(dimensions=3))
        with pytest.raises(SettingError, match=r"ada-002 takes no dimensions=.*1536"):
            embed("a", openai("text-embedding-ada-002", dimensions=3))
    assert measurer.asked == []


def test_a_provider_without_embeddings_says_so() -> None:
    with pytest.raises(SettingError, match=r"local has no embeddings; .*gemini\(\).*voyage\(\) have"):
        embed("a", local("m"))


def test_a_dry_run_shows_what_would_be_sent_and_no_secret() -> None:
    measurer = Measurer()
    provider = openai(api_key="sk-secret", headers={"x-token": "secret"}, dimensions=2)
    with using(measurer):
        request = assert_type(embed("a", provider, dry_run=True), Preview)
        several = assert_type(embed(["a", LONG], provider, dry_run=True), list[Preview])
        none = embed([], provider, dry_run=True)
    assert measurer.asked == []
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/embeddings")
    assert request.body == {
        "model": "text-embedding-3-small",
        "input": ["a"],
        "encoding_format": "base64",
        "dimensions": 2,
    }
    assert "secret" not in repr(request) + str(request)
    assert (several[0], len(several), none) == (request, 2, [])


def test_the_asynchronous_twin_does_the_same() -> None:
    async def main() -> None:
        with using(Measurer()):
            table = assert_type(await aembed(["a", "bcd"], openai()), pl.DataFrame)
            request = assert_type(await aembed("a", openai(), dry_run=True), Preview)
            several = assert_type(await aembed(["a"], openai(), dry_run=True), list[Preview])
        assert table.rows() == [("a", [1.0, 0.5]), ("bcd", [3.0, 0.5])]
        assert several == [request]

    asyncio.run(main())

"""The verb that lists a provider's models."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

import polars as pl
import pytest

from tidyllm import alist_models, list_models, local, openai, using
from tidyllm.client.frame import models_frame
from tidyllm.client.preview import Preview
from tidyllm.core.errors import SettingError
from tidyllm.core.model_info import ModelInfo
from tidyllm.testing import play

RECORDED = Path(__file__).parents[1] / "exchanges" / "openai" / "list_models.json"
SCHEMA = {
    "provider": pl.String(),
    "id": pl.String(),
    "name": pl.String(),
    "created_at": pl.Datetime("us", "UTC"),
    "owned_by": pl.String(),
    "context_tokens": pl.Int64(),
    "output_tokens_max": pl.Int64(),
    "capabilities": pl.List(pl.String()),
    "ends_at": pl.String(),
}


def test_each_model_is_a_row_in_the_providers_order() -> None:
    with using(play(RECORDED)):
        table = list_models("openai")
    assert dict(table.schema) == SCHEMA
    assert table["id"].to_list() == ["gpt-6-luna", "gpt-4o"]
    created = datetime(2024, 5, 10, 18, 50, 49, tzinfo=UTC)
    assert table.row(1) == ("openai", "gpt-4o", None, created, "system", None, None, [], "2027-01-14")


def test_the_columns_have_their_types_however_many_models_there_are() -> None:
    assert dict(models_frame([], provider="p").schema) == SCHEMA
    table = models_frame([ModelInfo(id="m", capabilities=("chat",), context_tokens=9)], provider="p")
    assert dict(table.schema) == SCHEMA
    assert table.row(0) == ("p", "m", None, None, None, 9, None, ["chat"], None)


def test_a_provider_without_a_list_says_so() -> None:
    with pytest.raises(SettingError, match="local has no list of models"):
        list_models(local())


def test_a_dry_run_shows_what_would_be_sent() -> None:
    with using(play()):
        request = assert_type(list_models(openai(api_key="secret"), dry_run=True), Preview)
    assert str(request) == "GET https://api.openai.com/v1/models\nauthorization: Bearer …"


def test_the_asynchronous_twin_does_the_same() -> None:
    async def main() -> None:
        with using(play(RECORDED)):
            table = assert_type(await alist_models(openai()), pl.DataFrame)
            request = assert_type(await alist_models("openai", dry_run=True), Preview)
        assert table.height == 2
        assert request.url == "https://api.openai.com/v1/models"

    asyncio.run(main())

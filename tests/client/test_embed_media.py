"""Images into vectors: in lists among texts, and in a column of a table."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from tidyllm import Media, aembed, embed, image, openai, using, voyage
from tidyllm.client.embed_order import IMAGE_WEIGHS, ordered
from tidyllm.client.embed_table import table_by_row
from tidyllm.client.vector_frame import in_column
from tidyllm.core.errors import PartlyFailedError, SettingError, TidyllmError
from tidyllm.core.wire import Request, Response
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys
from tidyllm.transport.many import drive_all

PNG = b"\x89PNG\r\n\x1a\n"


class Measurer:
    """A model whose vector of an input is its length; a request with one that ends with `bad` it will not take."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        inputs = [_said(one["content"][0]) for one in json.loads(request.body)["inputs"]]
        self.asked.append(inputs)
        if any(one.endswith("bad") for one in inputs):
            return Response(status=400, body=b'{"detail": "no such thing"}')
        data = [{"index": place, "embedding": [float(len(one)), 0.5]} for place, one in enumerate(inputs)]
        return Response(status=200, body=json.dumps({"data": data}).encode())


def _said(part: dict[str, str]) -> str:
    told = part[part["type"]]
    return base64.b64decode(told.partition(",")[2])[len(PNG) :].decode() if told.startswith("data:") else told


def model() -> Any:
    return voyage("voyage-multimodal-3.5")


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{name}.png" for name in ("a", "bb", "ccc")]
    for path in paths:
        path.write_bytes(PNG + path.stem.encode())
    return [str(path) for path in paths]


def test_images_stand_among_texts_and_equal_ones_are_asked_once(photos: list[str]) -> None:
    measurer = Measurer()
    inputs: list[str | Media] = ["word", image(photos[1]), image(PNG + b"x"), image(photos[1]), "word"]
    with using(measurer):
        done = embed(inputs, model())
    assert measurer.asked == [["word", "bb", "x"]]
    assert done["input"].to_list() == ["word", "bb.png", "image/png, 9 bytes", "bb.png", "word"]
    assert done["embeddings"].arr.first().to_list() == [4, 2, 1, 2, 4]


def test_an_image_alone_is_a_table_of_one_row_and_one_preview(photos: list[str]) -> None:
    with using(Measurer()):
        assert embed(image(photos[2]), model())["embeddings"].to_list() == [[3.0, 0.5]]
    shown = embed(image(photos[2]), model(), dry_run=True)
    assert "(11 bytes)" in str(shown)


def test_images_at_urls_are_asked_apart_from_bytes(photos: list[str]) -> None:
    measurer = Measurer()
    inputs: list[str | Media] = [image("https://a.example/x"), image(photos[0]), "word"]
    with using(measurer):
        done = embed(inputs, model())
    assert measurer.asked == [["a", "word"], ["https://a.example/x"]]
    assert done["input"].to_list() == ["https://a.example/x", "a.png", "word"]
    assert done["embeddings"].arr.first().to_list() == [19, 1, 4]


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame, pa.table])
def test_a_column_of_paths_has_its_vectors_beside_it(kind: Any, photos: list[str]) -> None:
    with using(Measurer()):
        done = embed(kind({"photo": [photos[2], None, photos[0], photos[2]]}), model(), media="photo")
    assert isinstance(done, type(kind({"a": [1]})))
    told = pl.from_pandas(done) if isinstance(done, pd.DataFrame) else pl.DataFrame(done)
    assert told["embeddings"].to_list() == [[3.0, 0.5], None, [1.0, 0.5], [3.0, 0.5]]
    assert told["llm_status"].to_list() == ["ok", None, "ok", "ok"]


def test_a_column_may_hold_bytes_or_values(photos: list[str]) -> None:
    raw = pl.DataFrame({"photo": [PNG + b"raw", None]})
    values = pl.DataFrame({"photo": pl.Series([image(photos[1]), Path(photos[2])], dtype=pl.Object)})
    with using(Measurer()):
        assert embed(raw, model(), media="photo")["embeddings"].to_list() == [[3.0, 0.5], None]
        assert embed(values, model(), media="photo")["embeddings"].to_list() == [[2.0, 0.5], [3.0, 0.5]]


def test_files_are_read_as_they_are_asked_about(photos: list[str]) -> None:
    asked = model()
    order = ordered(pl.DataFrame({"photo": photos}), asked, column=None, media="photo", on_error="row")
    Path(photos[2]).unlink()
    with pytest.raises(TidyllmError, match="no file"):
        next(order.calls(asked.site)[0])


def test_a_file_that_goes_in_mid_run_costs_its_request_alone(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(25)]
    for path in paths:
        path.write_bytes(PNG + path.stem.encode())
    table = pl.DataFrame({"photo": list(map(str, paths))})
    order = ordered(table, model(), column=None, media="photo", on_error="row")
    calls = [in_column(call) for call in order.calls(model().site)]
    paths[24].unlink()
    results = drive_all(calls, Transport(sender=Measurer(), keys=Keys("key")))
    done: Any = table_by_row(order, results)
    assert done["llm_status"].to_list() == ["ok"] * 20 + ["failed"] * 5
    assert "no file" in done["llm_error"][24]


def test_where_a_request_fails_its_rows_say_why(photos: list[str]) -> None:
    table = pl.DataFrame({"photo": [photos[0], "https://a.example/bad", None]})
    with using(Measurer()):
        done = embed(table, model(), media="photo")
        with pytest.raises(PartlyFailedError) as caught:
            embed([image(photos[0]), image("https://a.example/bad")], model())
    assert done["llm_status"].to_list() == ["ok", "failed", None]
    assert "no such thing" in done["llm_error"][1]
    answered, failed = caught.value.results
    assert isinstance(answered, pl.DataFrame)
    assert answered["input"].to_list() == ["a.png"]
    assert isinstance(failed, Exception)


def test_many_images_become_several_requests(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(25)]
    for path in paths:
        path.write_bytes(PNG + path.stem.encode())
    measurer = Measurer()
    with using(measurer):
        embed(pl.DataFrame({"photo": list(map(str, paths))}), model(), media="photo")
    assert [len(part) for part in measurer.asked] == [10, 10, 5]
    assert EmbeddingsApi().bytes_max == 10 * IMAGE_WEIGHS


@pytest.mark.parametrize(
    ("given", "names", "told"),
    [
        (pl.DataFrame({"photo": ["none.png"]}), {"media": "photo"}, "Row 1 has in the column 'photo' .* no file"),
        (pl.DataFrame({"photo": [b"words"]}), {"media": "photo"}, "Row 1 has in the column 'photo' .* no image"),
        (pl.DataFrame({"photo": [1]}), {"media": "photo"}, "Row 1 has in the column 'photo' .* It holds int"),
        (pl.DataFrame({"photo": ["a"]}), {"media": "foto"}, "There is no column 'foto'. The columns are: photo"),
        (pl.DataFrame({"photo": ["a"], "llm_error": [1]}), {"media": "photo"}, "llm_error would collide"),
        (pl.DataFrame({"photo": ["a"]}), {"media": "photo", "column": "photo"}, "column= or media=, not both"),
        (pl.Series(["a"]), {"media": "photo"}, "this is one column alone"),
        (["a"], {"media": "photo"}, "media= says which column of a table is meant"),
        (["a", 1], {}, "Text 2 is no text"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(given: Any, names: dict[str, Any], told: str) -> None:
    measurer = Measurer()
    with using(measurer), pytest.raises(SettingError, match=told):
        embed(given, model(), **names)
    assert measurer.asked == []


def test_a_model_that_takes_text_alone_refuses_a_column_of_images(photos: list[str]) -> None:
    measurer = Measurer()
    with using(measurer), pytest.raises(SettingError, match=r"voyage-4 takes no image/png .* It takes text alone"):
        embed(pl.DataFrame({"photo": photos}), voyage(), media="photo")
    with using(measurer), pytest.raises(SettingError, match=r"These do: voyage\("):
        embed([image(photos[0])], openai())
    assert measurer.asked == []


def test_a_dry_run_shows_no_bytes(photos: list[str]) -> None:
    (shown,) = embed(pl.DataFrame({"photo": photos}), model(), media="photo", dry_run=True)
    assert str(shown).count(" bytes)") == 3


def test_the_asynchronous_verb_does_the_same(photos: list[str]) -> None:
    async def main() -> pl.DataFrame:
        return await aembed(pl.DataFrame({"photo": photos}), model(), media="photo")

    with using(Measurer()):
        assert asyncio.run(main())["embeddings"].arr.first().to_list() == [1, 2, 3]

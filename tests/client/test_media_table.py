"""Columns of images and files: they are looked at before anything is sent, and read as their row is asked."""

import asyncio
import base64
import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from tidyllm import LLMMessage, achat, chat, chat_completions, file, image, llm_message, openai, using
from tidyllm.core.errors import JobChangedError, PartlyFailedError, SettingError
from tidyllm.core.wire import Request, Response
from tidyllm.provider import Model

PNG = b"\x89PNG\r\n\x1a\n"
HEAD = 1024


class Looker:
    """A model that answers with the texts and images of what it was asked; `seen` is called before each answer."""

    def __init__(self, seen: Any = None) -> None:
        self.asked: list[list[str]] = []
        self._seen = seen

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        assert isinstance(request.body, bytes)
        content = json.loads(request.body)["messages"][-1]["content"]
        parts = [content] if isinstance(content, str) else [_part(part) for part in content]
        self.asked.append(parts)
        if self._seen is not None:
            self._seen()
        message = {"role": "assistant", "content": " + ".join(parts)}
        said = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        return Response(status=200, headers={"content-type": "application/json"}, body=json.dumps(said).encode())


def _part(part: dict[str, Any]) -> str:
    if part["type"] == "text":
        return str(part["text"])
    url: str = part["image_url"]["url"]
    return url if url.startswith("https") else base64.b64decode(url.partition(",")[2])[len(PNG) :].decode()


def model(**options: Any) -> Model:
    return chat_completions("m", base_url="http://127.0.0.1:9000/v1", **options)


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Return the paths of some images that differ."""
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for path in paths:
        path.write_bytes(PNG + path.stem.encode())
    return [str(path) for path in paths]


def replies(table: Any) -> list[str]:
    return list(table["reply"])


def test_each_row_is_asked_with_the_image_of_its_cell(photos: list[str]) -> None:
    table = pl.DataFrame({"n": [1, 2, 3, 4], "photo": [photos[0], None, photos[1], "https://a.example/x"]})
    with using(Looker()):
        done = chat(table, model(), prompt="What is {n}?", media="photo")
    assert replies(done) == ["What is 1? + a", "What is 2?", "What is 3? + b", "What is 4? + https://a.example/x"]
    assert done["photo"].to_list() == table["photo"].to_list()


def test_several_columns_go_with_a_row_in_their_order(photos: list[str]) -> None:
    table = pl.DataFrame({"one": [photos[0], None], "two": [PNG + b"two", PNG + b"more"]})
    with using(Looker()):
        done = chat(table, model(), prompt="Compare.", media=["two", "one"])
    assert replies(done) == ["Compare. + two + a", "Compare. + more"]


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame, pa.table])
def test_tables_of_all_kinds_may_hold_paths_and_bytes(kind: Any, photos: list[str]) -> None:
    cells = {"photo": [photos[0], None], "raw": [None, PNG + b"raw"]}
    with using(Looker()):
        done = chat(kind(cells), model(), prompt="?", media=["photo", "raw"])
    assert isinstance(done, type(kind({"a": [1]})))
    assert [str(reply) for reply in done["reply"]] == ["? + a", "? + raw"]


def test_cells_may_hold_values_and_a_prompt_may_make_a_conversation_that_has_some(photos: list[str]) -> None:
    table = pl.DataFrame({"photo": pl.Series([image(photos[0]), Path(photos[1])], dtype=pl.Object)})
    with using(Looker()):
        done = chat(table, model(), prompt=lambda _: llm_message("Hi", media=image(PNG + b"own")), media="photo")
    assert replies(done) == ["Hi + own + a", "Hi + own + b"]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("none.png", "Row 2 has in the column 'photo' what cannot be sent: There is no file 'none.png'"),
        ("http://a.example/x.png", "Row 2 has in the column 'photo' .* https://"),
        ("empty.png", "Row 2 has in the column 'photo' .* is empty"),
        ("jpeg.png", "Row 2 has in the column 'photo' .* is called 'jpeg.png' but is image/jpeg"),
        (
            "a.pdf",
            r"Row 2 has in the column 'photo' .* m takes no application/pdf \(a.pdf\). .*PDFs are taken by claude",
        ),
    ],
)
@pytest.mark.parametrize("name", [None, "looked"])
@pytest.mark.usefixtures("home")
def test_a_cell_that_cannot_be_sent_is_told_before_anything_is(
    cell: str, told: str, name: str | None, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.png").touch()
    Path("jpeg.png").write_bytes(b"\xff\xd8\xff")
    Path("a.pdf").write_bytes(b"%PDF-1.7")
    looker = Looker()
    with using(looker), pytest.raises(SettingError, match=told):
        chat(pl.DataFrame({"photo": [photos[0], cell]}), model(), prompt="?", media="photo", name=name)
    assert looker.asked == []


def test_a_list_of_conversations_is_looked_at_too() -> None:
    looker = Looker()
    talks: list[str | LLMMessage] = ["Hi", llm_message("Hi", media=file(b"%PDF-1.7"))]
    with (
        using(looker),
        pytest.raises(SettingError, match=r"Conversation 2 cannot be asked: m takes no application/pdf"),
    ):
        chat(talks, model())
    assert looker.asked == []


def test_a_column_that_there_is_not_is_an_error_that_lists_the_columns() -> None:
    with pytest.raises(SettingError, match=r"media= names a column 'foto'. The columns are: photo"):
        chat(pl.DataFrame({"photo": ["a.png"]}), model(), prompt="?", media="foto")
    with pytest.raises(SettingError, match="An option has a value"):
        chat(pl.DataFrame({"photo": ["a.png"]}), model(), prompt="?", media=7)  # type: ignore[call-overload]


def test_files_are_read_as_their_row_is_asked(photos: list[str]) -> None:
    def change() -> None:
        for path in photos:
            Path(path).write_bytes(PNG + b"changed")

    table = pl.DataFrame({"photo": photos})
    with using(Looker(seen=change)):
        done = chat(table, model(), prompt="?", media="photo", max_concurrency=1)
    # The second waits to be let in, with its image in memory, while the first is asked.
    assert replies(done) == ["? + a", "? + b", "? + changed"]


@pytest.mark.parametrize("name", [None, "photos"])
@pytest.mark.usefixtures("home")
def test_a_file_that_goes_away_meanwhile_costs_its_row_alone(name: str | None, photos: list[str]) -> None:
    table = pl.DataFrame({"photo": [*photos, "https://a.example/x"]})
    gone = partial(Path(photos[2]).unlink, missing_ok=True)
    ask: dict[str, Any] = {"prompt": "?", "media": "photo", "max_concurrency": 1, "name": name}
    with using(Looker(seen=gone)):
        done = chat(table, model(), **ask)
    assert done["llm_status"].to_list() == ["ok", "ok", "failed", "ok"]
    assert "Row 3 has in the column 'photo' what cannot be sent: There is no file" in done["llm_error"][2]
    Path(photos[2]).write_bytes(PNG + b"c")
    with using(Looker(seen=gone)), pytest.raises(PartlyFailedError, match="3 ok, 1 failed") as failed:
        chat(table, model(), **ask | {"name": None}, on_error="raise")
    assert isinstance(failed.value.__cause__, SettingError)
    if name is not None:
        Path(photos[2]).write_bytes(PNG + b"c")
        looker = Looker()
        with using(looker):
            assert chat(table, model(), **ask)["reply"].to_list()[2] == "? + c"
        assert looker.asked == [["?", "c"]]


def test_a_cell_too_long_for_a_path_is_not_repeated_in_full() -> None:
    with pytest.raises(SettingError, match="Row 1 has in the column 'photo'") as told:
        chat(pl.DataFrame({"photo": ["x" * 100_000]}), model(), prompt="?", media="photo")
    assert len(str(told.value)) < 500


def test_what_a_prompt_makes_is_looked_at_too() -> None:
    looker = Looker()
    with using(looker), pytest.raises(SettingError, match="Row 1 cannot be asked: m takes no application/pdf"):
        chat(pl.DataFrame({"n": [1]}), model(), prompt=lambda _: llm_message("Hi", media=file(b"%PDF-1.7")))
    assert looker.asked == []


def test_equal_rows_with_other_images_are_other_questions(photos: list[str]) -> None:
    looker = Looker()
    table = pl.DataFrame({"photo": [photos[0], photos[1], photos[0]]})
    with using(looker):
        done = chat(table, model(temperature=0), prompt="?", media="photo")
    assert replies(done) == ["? + a", "? + b", "? + a"]
    assert len(looker.asked) == 2


@pytest.mark.usefixtures("home")
def test_a_named_run_knows_its_images_by_their_content(photos: list[str]) -> None:
    table = pl.DataFrame({"photo": photos})
    ask: dict[str, Any] = {"prompt": "?", "media": "photo", "name": "photos"}
    looker = Looker()
    with using(looker):
        first = chat(table, model(), **ask)
        assert chat(table, model(), **ask).equals(first)
        assert len(looker.asked) == 3
        Path(photos[2]).write_bytes(PNG + b"other")
        with pytest.raises(JobChangedError) as changed:
            chat(table, model(), **ask)
        assert set(changed.value.differences) == {"asked"}
        Path(photos[2]).write_bytes(PNG + b"c")
        with pytest.raises(JobChangedError) as changed:
            chat(table, model(), **{**ask, "media": []})
        assert set(changed.value.differences) == {"asked", "media"}
    assert len(looker.asked) == 3


@pytest.mark.usefixtures("home")
def test_a_named_run_keeps_its_rows_and_so_takes_no_values_in_them() -> None:
    table = pl.DataFrame({"photo": pl.Series([image(PNG)], dtype=pl.Object)})
    with pytest.raises(SettingError, match=r"are kept on the disk: .* not Media"):
        chat(table, model(), prompt="?", media="photo", name="photos")


def test_a_dry_run_of_a_table_shows_no_bytes_and_counts_an_image_as_a_short_text(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(PNG + bytes(300_000))
    table = pl.DataFrame({"photo": [str(path)] * 4})
    plan = chat(table, model(), prompt="What is this?", media="photo", dry_run=True)
    assert plan.bytes > 4 * 400_000
    assert 8_000 <= plan.tokens_in <= 8_400
    assert len(plan.first) == 3
    assert "(300,008 bytes)" in str(plan.first[0])
    assert len(str(plan.first[0])) < 1000


def test_a_budget_reserves_for_an_image_what_an_image_costs(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(PNG + b"x" * 3_000_000)
    asked = openai("gpt-4o-mini", max_tokens=100, api_key="k", api="chat_completions")
    with using(Looker()):
        done = chat(pl.DataFrame({"photo": [str(path)]}), asked, prompt="?", media="photo", budget=0.01)
    assert done["llm_status"].to_list() == ["ok"]


def test_the_asynchronous_verb_does_the_same(photos: list[str]) -> None:
    async def main() -> pl.DataFrame:
        return await achat(pl.DataFrame({"photo": photos}), model(), prompt="?", media="photo")

    with using(Looker()):
        assert replies(asyncio.run(main())) == ["? + a", "? + b", "? + c"]

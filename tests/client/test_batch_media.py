"""Images and files in the columns of a table that is sent as a batch."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from tests.client.fake_api import FakeApi
from tests.lifecycle.claude import FAKE
from tests.lifecycle.clock import HastyClock
from tidyllm import chat, claude, deepseek, fetch_batch, file, image, llm_message, openai, send_batch, using
from tidyllm.core.errors import JobChangedError, SettingError
from tidyllm.core.message import Conversation
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys

PNG = b"\x89PNG\r\n\x1a\n"
MODEL = openai("gpt-5", api="chat_completions")


@pytest.fixture
def table(tmp_path: Path) -> pl.DataFrame:
    (tmp_path / "a.png").write_bytes(PNG + b"a")
    cells = [str(tmp_path / "a.png"), None, "https://example.org/c.png"]
    return pl.DataFrame({"name": ["a", "b", "c"], "photo": cells})


def test_each_request_has_the_images_of_its_row(api: FakeApi, table: pl.DataFrame) -> None:
    job = send_batch(table, MODEL, prompt="What is {name}?", media="photo", name="photos")
    said = [line["body"]["messages"][0]["content"] for line in api.lines()]  # type: ignore[index]
    urls = [[part["image_url"]["url"] for part in one if "image_url" in part] for one in (said[0], said[2])]
    assert urls == [
        ["data:image/png;base64," + base64.b64encode(PNG + b"a").decode()],
        ["https://example.org/c.png"],
    ]
    assert said[1] == "What is b?"
    assert send_batch(table, MODEL, prompt="What is {name}?", media="photo", name="photos").batch_ids == job.batch_ids
    assert len(api.batches) == 1


def test_a_file_that_has_changed_is_other_content(api: FakeApi, table: pl.DataFrame) -> None:
    send_batch(table, MODEL, prompt="What is {name}?", media="photo", name="photos")
    Path(table["photo"][0]).write_bytes(PNG + b"another")
    with pytest.raises(JobChangedError) as caught:
        send_batch(table, MODEL, prompt="What is {name}?", media="photo", name="photos")
    assert list(caught.value.differences) == ["asked"]
    assert len(api.batches) == 1


def test_what_cannot_be_sent_is_told_before_anything_is(api: FakeApi, table: pl.DataFrame, home: Path) -> None:
    Path(table["photo"][0]).unlink()
    with pytest.raises(SettingError, match="Row 1 has in the column 'photo' what cannot be sent: There is no file"):
        send_batch(table, MODEL, prompt="{name}", media="photo")
    with pytest.raises(SettingError, match="media= names a column 'phto'"):
        send_batch(table, MODEL, prompt="{name}", media="phto")
    with pytest.raises(SettingError, match="media= does not go with this: embed= asks for vectors"):
        send_batch(table, openai("text-embedding-3-small"), embed="name", media="photo")
    values = pl.DataFrame({"photo": pl.Series([image(PNG)], dtype=pl.Object)})
    with pytest.raises(SettingError, match="rows of a batch"):
        send_batch(values, MODEL, prompt="?", media="photo")
    with pytest.raises(SettingError, match=r"Conversation 1 cannot be asked: .*takes no"):
        send_batch([llm_message("?", media=file(b"a,b\n1,2\n"))], MODEL)
    assert api.asked == []
    assert not home.exists()


def test_a_function_is_called_once_a_row(api: FakeApi, table: pl.DataFrame) -> None:
    seen = []

    def ask(row: Mapping[str, object]) -> Conversation:
        seen.append(row["name"])
        return llm_message(f"What is {row['name']}?", media=image(PNG))

    send_batch(table, MODEL, prompt=ask, media="photo", name="photos")
    assert seen == ["a", "b", "c"]
    assert [len(line["body"]["messages"][0]["content"]) for line in api.lines()] == [3, 2, 3]  # type: ignore[index]


def test_chat_by_a_batch_takes_them_too(home: Path, table: pl.DataFrame) -> None:
    del home
    fake = FAKE(HastyClock())
    with using(Transport(sender=fake, keys=Keys("key"), clock=fake.clock)):
        plan: object = chat(table, claude(), prompt="{name}", media="photo", mode="batch", dry_run=True)
        job = send_batch(table, claude(), prompt="{name}", media="photo", name="photos")
        assert [json.dumps(body).count('"image"') for _, body in fake.requests(job.batch_ids[0])] == [1, 0, 1]
        assert fetch_batch("photos", partial=True)["llm_status"].to_list() == ["pending"] * 3
        with pytest.raises(SettingError, match="no Batch API"):
            chat(table, deepseek(), prompt="{name}", media="photo", mode="batch")
    assert getattr(plan, "rows", None) == 3

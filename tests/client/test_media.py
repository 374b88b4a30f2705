"""Images and files as a user gives them, in conversations and in what is shown of them."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cases import made
from tidyllm import LLMMessage, chat, claude, file, image, llm_message, mistral, ollama, openai, stream
from tidyllm.client.media import MEDIA_MAX, Unread, in_cell
from tidyllm.core.errors import SettingError
from tidyllm.core.media import Media

PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)
PDF = b"%PDF-1.7 and so on"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.pdf").write_bytes(PDF)
    (tmp_path / "c.txt").write_text("dö", encoding="utf-8")
    (tmp_path / "empty.png").touch()
    return tmp_path


def test_an_image_is_made_of_a_path_bytes_or_a_url(folder: Path) -> None:
    made = Media(mime_type="image/png", data=PNG, name="a.png")
    assert image("a.png") == image(folder / "a.png") == made
    assert image(PNG) == image(bytearray(PNG)) == image(memoryview(PNG)) == Media(mime_type="image/png", data=PNG)
    assert image("https://a.example/x.gif") == Media(mime_type="image/gif", url="https://a.example/x.gif", name="x.gif")


def test_a_file_is_a_pdf_or_a_text(folder: Path) -> None:
    assert file(str(folder / "b.pdf")) == Media(mime_type="application/pdf", data=PDF, name="b.pdf")
    assert file("c.txt").text == "dö"
    assert file(b"words").mime_type == "text/plain"
    assert file("https://a.example/2401.1").mime_type == "application/pdf"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("none.png", "There is no file 'none.png', seen from /"),
        (".", "There is no file '.'"),
        ("a\0.png", "no file|cannot be read"),
        ("empty.png", "'empty.png' is empty"),
        ("b.pdf", "'b.pdf' is application/pdf, and no image"),
        (b"", r"What image\(\) was given is empty"),
        (b"words", "no image"),
        ("http://a.example/x.png", "https://"),
        ("data:image/png;base64,AAAA", "its bytes"),
        (7, r"image\(\) takes a path, bytes, or an https URL, not int"),
    ],
)
def test_what_is_no_image_is_refused(given: Any, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        image(given)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(folder: Path) -> None:
    (folder / "a.png").chmod(0)
    with pytest.raises(SettingError, match="cannot be read"):
        image("a.png")


def test_a_name_that_is_no_text_is_told_as_far_as_it_is(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/z\xff.png"))
    path.write_bytes(PNG)
    medium = image(path)
    assert medium.name == "z?.png"
    assert llm_message("Hi", media=medium).to_json()


def test_a_file_is_read_when_the_value_is_made(folder: Path) -> None:
    talk = llm_message("What is this?", media=image("a.png"))
    (folder / "a.png").unlink()
    assert talk.media[0].data == PNG


def test_a_conversation_with_media_is_kept_as_json_and_as_a_table() -> None:
    talk = llm_message("What is this?", media=[image(PNG), image("https://a.example/x.png")])
    talk = talk.message("And this?", media=file(PDF)).message("Well?")
    assert [len(turn.media) for turn in talk.turns] == [2, 1, 0]  # type: ignore[union-attr]
    assert LLMMessage.from_json(talk.to_json()) == talk
    assert LLMMessage.from_frame(talk.to_frame()) == talk
    assert LLMMessage.from_frame(talk.to_frame().to_pandas()) == talk
    old = '{"turns":[{"role":"user","text":"Hi"}]}'
    assert LLMMessage.from_json(old) == llm_message("Hi")
    assert llm_message("Hi").to_json() == '{"system":null,"turns":[{"role":"user","text":"Hi"}]}'


def test_media_that_json_or_a_table_cannot_have_are_refused() -> None:
    with pytest.raises(SettingError, match="either bytes or a URL"):
        LLMMessage.from_json('{"turns":[{"role":"user","text":"Hi","media":[{"mime_type":"image/png"}]}]}')
    table = llm_message("Hi", media=image(PNG)).to_frame()
    empty = table["media"].to_frame().select(media=table["media"].list.eval(_without_data()))
    with pytest.raises(SettingError, match=r"Row 1 has media that to_frame\(\) does not write"):
        LLMMessage.from_frame(table.with_columns(empty["media"]))


def _without_data() -> Any:
    import polars as pl  # noqa: PLC0415 - for this test alone

    return pl.element().struct.with_fields(data=pl.lit(None, pl.Binary))


@pytest.mark.parametrize("given", ["a.png", b"x", ["a.png"], [image(PNG), None], 7])
def test_media_are_made_by_image_and_file(given: Any) -> None:
    with pytest.raises(SettingError, match=r"media= takes image\(...\) and file\(...\), one or a list of them, not"):
        llm_message("Hi", media=given)


def test_there_is_a_limit_to_what_goes_with_a_text() -> None:
    with pytest.raises(SettingError, match="at most 1,000 images and files"):
        llm_message("Hi", media=[image(PNG)] * (MEDIA_MAX + 1))


def test_a_conversation_shows_what_goes_with_it_and_no_bytes() -> None:
    talk = llm_message("What is this?", media=[image(PNG), file("https://a.example/x.pdf?key=s")])
    shown = "What is this?\n[image: image/png, 1,008 bytes]\n[file: https://a.example/x.pdf, application/pdf]"
    assert str(talk) == f"[user]\n{shown}"
    assert shown in talk._repr_html_()
    assert "1,008 bytes" in repr(talk)
    assert len(repr(talk)) < 300


@pytest.mark.parametrize("model", [openai(), openai(api="chat_completions"), claude(), mistral(), ollama("m")], ids=str)
def test_a_dry_run_shows_how_long_media_are_in_place_of_their_bytes(model: Any) -> None:
    talk = llm_message("What is this?", media=image(PNG))
    for shown in (chat(talk, model, dry_run=True), stream(talk, model, dry_run=True)):
        assert base64.b64encode(PNG).decode() not in str(shown)
        assert "(1,008 bytes)" in str(shown)
        assert "What is this?" in str(shown)


def test_what_a_provider_does_not_take_is_an_error_that_says_who_does_and_nothing_is_sent() -> None:
    with pytest.raises(SettingError, match=r"takes no application/pdf. It takes: .*PDFs are taken by claude\(\), gem"):
        chat(llm_message("Sum it up.", media=file(PDF)), made("deepseek"))
    with pytest.raises(SettingError, match=r"takes image/png \(x.png\) only as bytes, not by URL"):
        chat(llm_message("Hi", media=image("https://a.example/x.png")), ollama("m"))


def test_what_went_with_an_earlier_turn_is_told_again_or_refused() -> None:
    talk = llm_message("Sum it up.", media=file(PDF)).message("Again.")
    assert "(18 bytes)" in str(chat(talk, claude(), dry_run=True))
    with pytest.raises(SettingError, match="takes no application/pdf"):
        chat(talk, made("groq"), dry_run=True)


def test_a_text_of_nothing_is_left_out_beside_an_image() -> None:
    for model in (openai(), openai(api="chat_completions"), claude(), made("gemini")):
        assert '"text"' not in str(chat(llm_message("", media=image(PNG)), model, dry_run=True))


def test_media_of_a_table_are_not_for_conversations() -> None:
    with pytest.raises(SettingError, match=r"media= is for tables; .* llm_message\(text, media=image\(...\)\)"):
        chat("Hi", openai(), media="photo")


@pytest.mark.parametrize("nothing", [None, "", float("nan")])
def test_a_missing_cell_means_nothing(nothing: object) -> None:
    assert in_cell(nothing) is None


def test_a_cell_means_what_stands_in_it(folder: Path) -> None:
    assert in_cell(image(PNG)) == image(PNG)
    assert in_cell(PNG) == image(PNG)
    assert in_cell("https://a.example/x.pdf") == file("https://a.example/x.pdf")
    assert in_cell("a.png") == Unread("a.png")
    found = in_cell(folder / "a.png")
    assert isinstance(found, Unread)
    assert found.read() == image("a.png")
    assert len(found.look().data) == 1008
    with pytest.raises(SettingError, match="It holds int, and not a path"):
        in_cell(7)

"""Images and files on the wire: what is not taken is refused, and says who takes it."""

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.media import IMAGES, Media
from tidyllm.core.message import Conversation, UserTurn
from tidyllm.dialects.media import IMAGE_COUNTS_AS, IMAGES_TAKEN, NO_MEDIA, MediaTaken, counts_as, data_url, file_name

PNG = Media(mime_type="image/png", data=b"123", name="a.png")
GIF = Media(mime_type="image/gif", data=b"123")
AT_URL = Media(mime_type="image/*", url="https://a.example/x")
PDF = Media(mime_type="application/pdf", data=b"1234")
CSV = Media(mime_type="text/csv", data=b"a,b")
SOUND = Media(mime_type="audio/wav", data=b"a")


@pytest.mark.parametrize(
    ("taken", "medium", "told"),
    [
        (NO_MEDIA, PNG, r"m takes no image/png \(a.png\). It takes text alone. Images are taken by claude\(\)"),
        (MediaTaken(as_bytes=("image/png",)), GIF, r"m takes no image/gif. It takes: image/png. Images are taken by"),
        (MediaTaken(as_bytes=IMAGES), AT_URL, r"m takes image/\* only as bytes, not by URL: download it"),
        (MediaTaken(by_url=IMAGES), PNG, "m takes no image/png"),
        (IMAGES_TAKEN, PDF, r"m takes no application/pdf. It takes: image/gif, .*PDFs are taken by claude\(\)"),
        (IMAGES_TAKEN, CSV, r"Such texts are taken by claude\(\) and gemini\(\)"),
        (IMAGES_TAKEN, SOUND, r"m takes no audio/wav. It takes: .*webp\.$"),
        (MediaTaken(as_bytes=IMAGES, models=("n-*",)), PNG, "m takes no image/png .* It takes text alone."),
    ],
)
def test_what_is_not_taken_is_refused(taken: MediaTaken, medium: Media, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        taken.check(medium, model="m")


def test_what_is_taken_is_not_refused() -> None:
    IMAGES_TAKEN.check(PNG, model="m")
    IMAGES_TAKEN.check(AT_URL, model="m")
    MediaTaken(as_bytes=("text/*",), models=("n", "m*")).check(CSV, model="mm")


def test_bytes_are_written_into_a_url_and_a_file_always_has_a_name() -> None:
    assert data_url(PNG) == "data:image/png;base64,MTIz"
    assert data_url(AT_URL) == "https://a.example/x"
    assert [file_name(one) for one in (PNG, PDF, CSV)] == ["a.png", "file.pdf", "file.txt"]


def test_an_image_counts_as_a_short_text_however_long_it_is() -> None:
    big = Media(mime_type="image/png", data=bytes(3_000_000))
    talk = Conversation(turns=(UserTurn("Hi", (big, AT_URL, PDF)),))
    assert counts_as(4_000_500, talk) == 500 + 2 * IMAGE_COUNTS_AS
    assert counts_as(100, Conversation(turns=(UserTurn("Hi", (PDF,)),))) is None

"""Images and files on the wire: which of them an API takes, and how their bytes are written."""

from base64 import b64encode
from fnmatch import fnmatchcase
from typing import TypeAlias

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.media import IMAGES, PDF, SOME_IMAGE, Media
from tidyllm.core.message import Conversation

_ENDINGS = {PDF: "pdf"}

Who: TypeAlias = tuple[tuple[tuple[str, ...], str], ...]
WHO: Who = (
    ((SOME_IMAGE,), "Images are taken by claude(), gemini(), mistral(), openai(), openrouter() and most others."),
    ((PDF,), "PDFs are taken by claude(), gemini(), mistral(), openai() and openrouter()."),
    (("text/plain", "text/markdown"), "Such texts are taken by claude(), gemini() and openai()."),
    (("text/*",), "Such texts are taken by claude() and gemini(); or read it, and say it in the prompt."),
)
"""Who takes what, by patterns of MIME types, the first that fits; a test compares it with the declarations."""


class MediaTaken(msgspec.Struct, frozen=True, kw_only=True):
    """Which images and files an API takes, as MIME types or patterns of them."""

    as_bytes: tuple[str, ...] = ()
    by_url: tuple[str, ...] = ()
    models: tuple[str, ...] = ("*",)
    """Patterns of the models that take them."""

    def check(self, medium: Media, *, model: str, who: Who = WHO) -> None:
        """Raise SettingError for what the model does not take, which says what it takes, and who takes that."""
        by_url = medium.url is not None
        reached = self.reach(model)
        if reached and _is_among(medium.mime_type, self.by_url if by_url else self.as_bytes):
            return
        what = medium.mime_type + ("" if medium.name is None else f" ({medium.name})")
        if reached and by_url and _is_among(medium.mime_type, self.as_bytes):
            raise SettingError(f"{model} takes {what} only as bytes, not by URL: download it, and give the file.")
        others = next((told for patterns, told in who if _is_among(medium.mime_type, patterns)), "")
        raise SettingError(f"{model} takes no {what}. {self._told(model)} {others}".rstrip())

    def reach(self, model: str) -> bool:
        """Return whether the model is one of those that take any."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    def _told(self, model: str) -> str:
        taken = sorted({*self.as_bytes, *self.by_url}) if self.reach(model) else ()
        return f"It takes: {', '.join(taken)}." if taken else "It takes text alone."


NO_MEDIA = MediaTaken()
IMAGES_TAKEN = MediaTaken(as_bytes=IMAGES, by_url=IMAGES)


def base64_of(medium: Media) -> str:
    """Return the bytes of an image or file as base64."""
    return b64encode(medium.data).decode()


def data_url(medium: Media) -> str:
    """Return the URL at which the bytes are: its own, or one that holds them."""
    return medium.url or f"data:{medium.mime_type};base64,{base64_of(medium)}"


def file_name(medium: Media) -> str:
    """Return what a file is called; one of which only the bytes are known is called after its type."""
    return medium.name or f"file.{_ENDINGS.get(medium.mime_type, 'txt')}"


IMAGE_COUNTS_AS = 8_000
"""How many bytes of text an image stands for, in guesses of tokens: about 2,000 of these, as providers count large
ones; https://platform.claude.com/docs/en/build-with-claude/vision."""


def counts_as(body_bytes: int, conversation: Conversation) -> int | None:
    """Return how many bytes of text a request's body stands for; null where it is as long as it is."""
    media = conversation.media
    if not media:
        return None
    images = [medium for medium in media if medium.mime_type.startswith("image/")]
    if not images:
        return None
    written = sum(_base64_bytes(medium) for medium in images)
    return body_bytes - written + IMAGE_COUNTS_AS * len(images)


def _base64_bytes(medium: Media) -> int:
    return (len(medium.data) + 2) // 3 * 4


def _is_among(mime_type: str, patterns: tuple[str, ...]) -> bool:
    if mime_type == SOME_IMAGE:
        return any(pattern.startswith("image/") for pattern in patterns)
    return any(fnmatchcase(mime_type, pattern) for pattern in patterns)

"""Images and files as parts of a content; spec/gemini 2a."""

from collections.abc import Mapping

from tidyllm.core.media import SOME_IMAGE, Media
from tidyllm.dialects.media import base64_of


def media_part(medium: Media) -> Mapping[str, object]:
    """Return the part that an image or file is."""
    if medium.url is None:
        return {"inlineData": {"mimeType": medium.mime_type, "data": base64_of(medium)}}
    # Which kind of image it is can only be seen where it is fetched.
    told = {} if medium.mime_type == SOME_IMAGE else {"mimeType": medium.mime_type}
    return {"fileData": {"fileUri": medium.url, **told}}

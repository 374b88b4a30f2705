"""What answers cost, by the price lists of genai-prices, where the provider itself does not tell.

The lists are those that came with the library when it was installed: nothing is fetched.
"""

import re
from functools import cache

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.reply import Reply
from tidyllm.provider import find_provider

_EDITION = re.compile(
    r"([-@](\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{8}|\d{6}|\d{3,4}|latest|preview|exp))+$", re.IGNORECASE
)
"""The end of a model's name that says when it was made."""


def priced(reply: Reply) -> Reply:
    """Return an answer with its cost at today's list prices, without discounts; as it is where no price is known.

    What the provider told stays. Cached tokens count at their own price. A model that is not certainly the one in the
    list has no price, and none of a server of one's own has.
    """
    seller, model = _seller(reply.provider), reply.model or reply.asked
    counted = reply.tokens_in is not None and reply.tokens_out is not None
    if reply.cost is not None or seller is None or model is None or not counted:
        return reply
    # Imported here: it takes an eighth of a second and brings pydantic along.
    from genai_prices import Usage, calc_price  # noqa: PLC0415

    try:
        usage = Usage(
            input_tokens=reply.tokens_in, cache_read_tokens=reply.tokens_cached, output_tokens=reply.tokens_out
        )
        found = calc_price(usage, model, provider_id=seller)
    except (LookupError, ValueError):
        # No such model is listed, or the counts contradict each other.
        return reply
    if not found.total_price or _plain(found.model.id) != _plain(model):
        return reply
    return msgspec.structs.replace(reply, cost=float(found.total_price))


@cache
def _seller(provider: str | None) -> str | None:
    """Return who has the prices; nobody where the provider is not, or no longer, installed."""
    try:
        return None if provider is None else find_provider(provider).price_list
    except SettingError:
        return None


def _plain(model: str) -> str:
    """Return a model's name without its edition: the lists go by beginnings of names, which is a guess."""
    return _EDITION.sub("", model.lower()).replace(".", "-")

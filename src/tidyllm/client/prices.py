"""What answers cost, by the price lists of genai-prices, where the provider itself does not tell.

The lists are those that came with the library when it was installed: nothing is fetched.
"""

import re
import time
from bisect import bisect_left
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.reply import Reply
from tidyllm.provider import find_provider

_EDITION = re.compile(
    r"([-@](\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{8}|\d{6}|\d{3,4}|latest|preview|exp))+$", re.IGNORECASE
)
"""The end of a model's name that says when it was made."""
_MINUTE_S = 60
_MODELS_MAX = 1_024
"""Of so many models the prices are kept at a time."""


class Rates(msgspec.Struct, frozen=True):
    """What one answer of a model costs, in US dollars."""

    answer: Decimal
    """Whatever it says."""
    token_in: Decimal
    token_cached: Decimal
    token_out: Decimal


class Prices(msgspec.Struct, frozen=True):
    """What a model costs; some are dearer beyond a length of the prompt."""

    starts: tuple[int, ...]
    """Lengths of prompts, in tokens; whatever is longer has the next rates."""
    rates: tuple[Rates, ...]
    """One more than there are lengths."""

    def cost(self, *, tokens_in: int, tokens_cached: int, tokens_out: int) -> Decimal:
        """Return what an answer costs."""
        rates = self.rates[bisect_left(self.starts, tokens_in)]
        prompt = (tokens_in - tokens_cached) * rates.token_in + tokens_cached * rates.token_cached
        return rates.answer + prompt + tokens_out * rates.token_out


def priced(reply: Reply) -> Reply:
    """Return an answer with its cost at today's list prices, without discounts; as it is where no price is known.

    What the provider told stays. Cached tokens count at their own price. A model that is not certainly the one in the
    list has no price, and none of a server of one's own has.
    """
    seller, model = _seller(reply.provider), reply.model or reply.asked
    tokens_in, tokens_out, tokens_cached = reply.tokens_in, reply.tokens_out, reply.tokens_cached or 0
    if reply.cost is not None or seller is None or model is None or tokens_in is None or tokens_out is None:
        return reply
    if tokens_out < 0 or not 0 <= tokens_cached <= tokens_in:
        # The counts contradict each other.
        return reply
    prices = prices_of(seller, model, minute=int(time.time()) // _MINUTE_S)
    if prices is None:
        return reply
    cost = prices.cost(tokens_in=tokens_in, tokens_cached=tokens_cached, tokens_out=tokens_out)
    return msgspec.structs.replace(reply, cost=float(cost)) if cost else reply


@lru_cache(maxsize=_MODELS_MAX)
def prices_of(seller: str, model: str, *, minute: int) -> Prices | None:
    """Return what a model costs at that minute since 1970 UTC; null where it is not certainly listed.

    The library takes a tenth of a millisecond for the cost of one answer, and longer for what it does not list. Its
    prices change with the day and the time of day, by whole minutes: so long they are kept.
    """
    # Imported here: it takes an eighth of a second and brings pydantic along.
    from genai_prices import Usage, calc_price  # noqa: PLC0415
    from genai_prices.types import PriceCalculation, TieredPrices  # noqa: PLC0415

    now = datetime.fromtimestamp(minute * _MINUTE_S, UTC)

    def asked(tokens_in: int, *, cached: int = 0, out: int = 0) -> PriceCalculation:
        usage = Usage(input_tokens=tokens_in, cache_read_tokens=cached, output_tokens=out)
        return calc_price(usage, model, provider_id=seller, genai_request_timestamp=now)

    def rates(start: int) -> Rates:
        # Between two lengths a cost is a sum of so much a token: one token more of each kind tells how much.
        least = asked(start).total_price
        token_in = asked(start + 1).total_price - least
        return Rates(
            answer=least - start * token_in,
            token_in=token_in,
            token_cached=asked(start + 1, cached=1).total_price - least,
            token_out=asked(start, out=1).total_price - least,
        )

    try:
        found = asked(0)
        if _plain(found.model.id) != _plain(model):
            return None
        tiered = [price for price in vars(found.model_price).values() if isinstance(price, TieredPrices)]
        starts = tuple(sorted({tier.start for price in tiered for tier in price.tiers}))
        return Prices(starts, tuple(rates(start) for start in (0, *(start + 1 for start in starts))))
    except (LookupError, ValueError):
        # No such model is listed, or its prices cannot be read.
        return None


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

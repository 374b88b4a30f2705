"""What a batch comes to before it is sent: rows, bytes, tokens and dollars."""

import msgspec

from tidyllm.client.budget import SAFE_BYTES_PER_TOKEN, TOKENS_OUT_FIRST
from tidyllm.client.capabilities import asked_name_of
from tidyllm.client.prices import priced
from tidyllm.client.requests import BYTES_PER_TOKEN
from tidyllm.core.errors import SettingError
from tidyllm.core.reply import Reply
from tidyllm.provider import Model


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What it comes to, about."""

    rows: int
    bytes: int
    tokens_in: int
    cost_in: float | None
    """Of the prompts, at the price of batches, in US dollars; null where no price is known."""
    cost_most: float | None
    """With answers as long as they may be, on the safe side."""


def estimated(model: Model, *, rows: int, size: int, embeds: bool) -> Estimate:
    """Return what so many rows come to, whose requests have so many bytes together."""
    tokens_out = 0 if embeds else rows * (model.params.max_tokens or TOKENS_OUT_FIRST)
    name = asked_name_of(model, embeds=embeds)
    return Estimate(
        rows=rows,
        bytes=size,
        tokens_in=size // BYTES_PER_TOKEN,
        cost_in=_cost(model, name, tokens_in=size // BYTES_PER_TOKEN, tokens_out=0),
        cost_most=_cost(model, name, tokens_in=size // SAFE_BYTES_PER_TOKEN, tokens_out=tokens_out),
    )


def refuse_beyond(budget: float | None, guess: Estimate, *, model: Model) -> None:
    """Raise SettingError where a batch might cost more than it may, or nobody knows what it costs."""
    if budget is None:
        return
    if guess.cost_most is None:
        raise SettingError(f"No price is known of {model!r} in a batch, so that no budget= can hold: leave it out.")
    if guess.cost_most > budget:
        longest = model.params.max_tokens
        answers = (
            f"answers of up to {longest:,} tokens, as max_tokens= allows"
            if longest
            else f"answers of {TOKENS_OUT_FIRST:,} tokens, as nothing is known of them; max_tokens= bounds them"
        )
        raise SettingError(
            f"{guess.rows:,} rows may cost ${guess.cost_most:,.2f}, more than budget={budget:g}, with {answers}. "
            "Nothing was sent."
        )


def batch_priced(reply: Reply, model: Model) -> Reply:
    """Return an answer that came in a batch with its cost at the price of batches; null where that is not known."""
    part = model.provider.batch_price
    listed = priced(reply)
    if reply.cost is not None or listed.cost is None:
        return listed
    return msgspec.structs.replace(listed, cost=None if part is None else listed.cost * part)


def _cost(model: Model, name: str, *, tokens_in: int, tokens_out: int) -> float | None:
    asked = Reply(provider=model.provider.name, asked=name, tokens_in=tokens_in, tokens_out=tokens_out)
    return batch_priced(asked, model).cost

"""A model, as its provider describes it."""

import msgspec


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a provider's list; null is what the list does not tell."""

    id: str
    """What to ask for it by."""
    name: str | None = None
    """What people call it."""
    created_at: int | None = None
    """In seconds since 1970 UTC."""
    owned_by: str | None = None
    context_tokens: int | None = None
    """Longest prompt and answer together, or longest prompt, as the provider counts it."""
    output_tokens_max: int | None = None
    """Longest answer."""
    capabilities: tuple[str, ...] = ()
    """What it can do, in the provider's words."""
    ends_at: str | None = None
    """When it will be shut down, as the provider writes it."""

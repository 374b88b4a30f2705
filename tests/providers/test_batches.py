"""Batches of every provider that has them: what its declaration says goes together."""

import pytest

from tidyllm.provider import find_provider, provider_names

WITH_BATCHES = [name for name in provider_names() if find_provider(name).batch is not None]


@pytest.mark.parametrize("name", WITH_BATCHES)
def test_what_batches_need_is_there(name: str) -> None:
    provider = find_provider(name)
    assert provider.batch is not None
    assert provider.batch.uploads or provider.batch.inline_bytes_max
    assert (provider.files is not None) or not provider.batch.uploads
    assert provider.batch_chats or provider.batch_embed_path
    assert all(chat in (provider.chat, *provider.chat_also) for chat in provider.batch_chats)
    assert provider.batch_embed_path is None or provider.embed is not None
    assert provider.batch_limits is not None
    assert provider.batch_price is None or 0 < provider.batch_price <= 1


@pytest.mark.parametrize(
    ("name", "paths", "embeds"),
    [
        ("azure_openai", ["/v1/chat/completions", "/v1/responses"], False),
        ("groq", ["/v1/chat/completions"], False),
        ("mistral", ["/v1/chat/completions"], True),
        ("openrouter", ["/v1/chat/completions"], True),
        ("perplexity", ["/v1/responses"], False),
        ("voyage", [], True),
    ],
)
def test_batches_take_what_the_providers_say(name: str, paths: list[str], *, embeds: bool) -> None:
    provider = find_provider(name)
    assert [chat.path for chat in provider.batch_chats] == paths
    assert provider.batch_embed_path == ("/v1/embeddings" if embeds else None)


def test_what_cannot_be_cancelled_or_deleted_says_so() -> None:
    assert [name for name in WITH_BATCHES if find_provider(name).batch_cancel is None] == ["openrouter"]
    assert find_provider("openai").batch_delete is None
    assert find_provider("mistral").batch_delete is not None

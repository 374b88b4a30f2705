"""Every provider's declaration, found by folder."""

import pkgutil

import pytest

from tidyllm import providers
from tidyllm.provider import Provider, find_provider

NAMES = [module.name for module in pkgutil.iter_modules(providers.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_a_declaration_is_whole(name: str) -> None:
    provider = find_provider(name)
    assert isinstance(provider, Provider)
    assert provider.name == name
    assert provider.docs
    assert provider.auth.env
    assert provider.base_url is None or not provider.base_url.endswith("/")
    assert provider.base_url is not None or provider.base_url_env is not None
    assert (provider.chat_model or provider.embed_model) is None or provider.checked is not None
    assert (provider.batch is None) == (provider.batch_limits is None)


def test_the_local_server_needs_no_key_and_is_on_this_machine() -> None:
    local = find_provider("local")
    assert not local.auth.required
    assert local.base_url is not None
    assert local.base_url.startswith("http://127.0.0.1:")

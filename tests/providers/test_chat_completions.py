"""Any server that speaks Chat Completions: it needs an address, and perhaps a key."""

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import SettingError
from tidyllm.providers.chat_completions import chat_completions


def test_it_has_no_address_unless_it_is_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAT_COMPLETIONS_BASE_URL", raising=False)
    with pytest.raises(SettingError, match="CHAT_COMPLETIONS_BASE_URL"):
        chat_completions("m")
    assert chat_completions("m", base_url="http://a.example/v1").base_url == "http://a.example/v1"
    monkeypatch.setenv("CHAT_COMPLETIONS_BASE_URL", "http://b.example/v1")
    assert chat_completions("m").base_url == "http://b.example/v1"


def test_it_may_have_no_key() -> None:
    assert not chat_completions.auth.required


def test_what_it_takes_is_left_to_the_server() -> None:
    options = {"max_tokens": 5, "temperature": 3, "stop": ["a"] * 9, "top_k": 40, "effort": "xhigh"}
    assert said("chat_completions", **options) == {
        "max_tokens": 5,
        "temperature": 3.0,
        "stop": ("a",) * 9,
        "top_k": 40,
        "reasoning_effort": "xhigh",
    }

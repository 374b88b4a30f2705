"""Where Ollama is."""

import pytest

from tidyllm import ollama


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - nothing listens there
        ("gpu", "http://gpu:11434"),
        ("gpu:9999", "http://gpu:9999"),
        (":9999", "http://127.0.0.1:9999"),
        ("gpu:9999/under/", "http://gpu:9999/under"),
        ("http://gpu", "http://gpu"),
        ("https://ollama.com/", "https://ollama.com"),
    ],
)
def test_its_own_variable_is_understood_in_every_form(host: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert ollama("m").base_url == url

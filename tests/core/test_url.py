import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.url import checked_base_url, host_url


def test_a_base_url_loses_the_slash_at_its_end() -> None:
    assert checked_base_url("https://api.example.org/v1/") == "https://api.example.org/v1"


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://", "http://x/v1#a"])
def test_what_is_no_base_url_is_refused_by_its_name(url: str) -> None:
    with pytest.raises(SettingError, match="The upstream must be like http://127"):
        checked_base_url(url, called="The upstream")


@pytest.mark.parametrize("url", ["http://x:99999/v1", "http://x:abc/v1", "http://[::1/v1"])
def test_what_cannot_be_taken_apart_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match="The base URL cannot be"):
        checked_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:secret@x/v1",
        "http://x/v1?key=secret",
        "http://me:secret@x:abc/v1",
        "me:secret@x:8000/v1",
        "http://x:abc/v1?key=secret",
        "http://x/v1#secret",
    ],
)
def test_what_may_be_a_secret_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SettingError) as refused:
        checked_base_url(url)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("box", "http://box:11434"),
        ("box:80/", "http://box:80"),
        (":80", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - nothing listens there
        ("http://0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("https://box/ollama/", "https://box/ollama"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::]:80", "http://[::1]:80"),
    ],
)
def test_an_address_that_names_a_host_has_the_usual_port(address: str, url: str) -> None:
    assert host_url(address, port=11434) == url
    assert checked_base_url(url) == url


def test_an_address_is_a_url_where_no_port_is_usual() -> None:
    assert host_url("https://a.example/", port=None) == "https://a.example"

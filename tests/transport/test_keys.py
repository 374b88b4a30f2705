"""Where the API key comes from, and that it is never shown."""

import pytest

from tidyllm.core.auth import Auth
from tidyllm.core.errors import MissingKeyError, SettingError
from tidyllm.transport.keys import Keys

AUTH = Auth(env="OPENAI_API_KEY")
NONE: dict[str, str] = {}


def test_given_key_goes_before_the_environment() -> None:
    keys = Keys("sk-given", environment={"OPENAI_API_KEY": "sk-env"})
    assert keys.sign(AUTH) == (("authorization", "Bearer sk-given"),)


def test_key_is_found_in_the_environment_at_the_moment_of_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-later\n")
    assert keys.sign(AUTH) == (("authorization", "Bearer sk-later"),)


def test_header_and_prefix_are_the_providers() -> None:
    auth = Auth(env="ANTHROPIC_API_KEY", header="x-api-key", prefix="")
    assert Keys("sk-1").sign(auth) == (("x-api-key", "sk-1"),)


def test_function_is_asked_at_each_send() -> None:
    fresh = iter(("sk-1", "sk-2"))
    keys = Keys(lambda: next(fresh))
    assert [keys.sign(AUTH)[0][1] for _ in range(2)] == ["Bearer sk-1", "Bearer sk-2"]


def test_request_without_auth_is_not_signed() -> None:
    assert Keys("sk-1").sign(None) == ()


def test_missing_key_names_the_variable() -> None:
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        Keys(environment=NONE).sign(AUTH)


@pytest.mark.parametrize("given", ["", " ", lambda: ""])
def test_empty_key_is_missing(given: str) -> None:
    with pytest.raises(MissingKeyError, match="empty"):
        Keys(given, environment={"OPENAI_API_KEY": "sk-env"}).sign(AUTH)


def test_key_that_is_not_required_may_be_missing() -> None:
    assert Keys(environment=NONE).sign(Auth(env="TIDYLLM_API_KEY", required=False)) == ()


def test_key_with_strange_characters_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingError) as caught:
        Keys("sk-secret\nx").sign(AUTH)
    assert "secret" not in str(caught.value)


def test_key_is_never_shown() -> None:
    assert repr(Keys("sk-secret")) == "Keys(given)"
    assert repr(Keys()) == "Keys(from the environment)"


@pytest.mark.parametrize("given", [lambda: 5, 7, b"sk-bytes"])
def test_key_that_is_no_text_is_refused(given: object) -> None:
    with pytest.raises(SettingError, match="must be a text"):
        Keys(given).sign(AUTH)  # type: ignore[arg-type]


def test_key_is_not_shown_where_variables_are() -> None:
    ((_, value),) = Keys("sk-secret").sign(AUTH)
    assert value == AUTH.prefix + "sk-secret"
    assert "secret" not in repr(value)


def test_each_provider_gets_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Auth(env="ANTHROPIC_API_KEY", header="x-api-key", prefix="")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-two")
    keys = Keys()
    for _ in range(2):
        assert keys.sign(AUTH) == (("authorization", "Bearer sk-one"),)
        assert keys.sign(other) == (("x-api-key", "sk-two"),)

"""What Azure is told, and where it is."""

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import SettingError
from tidyllm.providers.azure_openai import azure_openai
from tidyllm.transport.keys import Keys


def test_an_address_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    with pytest.raises(SettingError, match="give base_url=, or set AZURE_OPENAI_ENDPOINT"):
        azure_openai("my-deployment")


@pytest.mark.parametrize("address", ["https://res.openai.azure.com/", "https://res.openai.azure.com"])
def test_the_environment_names_the_host_alone(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", address)
    assert azure_openai("my-deployment").base_url == "https://res.openai.azure.com/openai/v1"


def test_a_key_and_a_token_go_into_the_same_header() -> None:
    assert (azure_openai.auth.header, azure_openai.auth.prefix) == ("authorization", "Bearer ")
    assert Keys(lambda: "token of Entra").sign(azure_openai.auth) == (("authorization", "Bearer token of Entra"),)


def test_there_is_no_usual_model() -> None:
    assert azure_openai.chat_model is None


def test_the_rules_are_those_of_the_model_behind_the_deployment_where_it_is_told() -> None:
    assert said("azure_openai", "my-deployment", temperature=0.5) == {"temperature": 0.5}
    with pytest.raises(SettingError, match=r"my-deployment takes no temperature=\. It reasons"):
        said("azure_openai", "my-deployment", model_family="gpt-6-luna", temperature=0.5)


def test_responses_are_spoken_when_asked_for() -> None:
    assert said("azure_openai", "my-deployment", api="responses") == {"store": False}
    assert said("azure_openai", "my-deployment", api="responses", model_family="gpt-6-luna", thoughts=True) == {
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
    }

"""What a provider is told, apart from the model and the conversation."""

from tests.conformance.cases import made
from tidyllm.core.message import AssistantTurn, Conversation, Turn, UserTurn
from tidyllm.core.reply import Reply


def said(provider: str, name: str = "some-model", /, **options: object) -> dict[str, object]:
    """Return the fields of a request that these options make."""
    model = made(provider, name, **options)
    assert model.chat is not None
    body = model.chat.body(name, Conversation(turns=(UserTurn("Hi"),)), params=model.params)
    return {field: value for field, value in body.items() if field not in ("model", "messages", "input")}


def told(provider: str, reply: Reply) -> object:
    """Return the messages of a request that goes on after an answer of this model's own."""
    model = made(provider, "some-model")
    assert model.chat is not None
    turns: tuple[Turn, ...] = (UserTurn("Hi"), AssistantTurn(reply), UserTurn("And?"))
    return model.chat.body("some-model", Conversation(turns=turns), params=model.params)["messages"]

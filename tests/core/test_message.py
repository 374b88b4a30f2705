"""One turn of a conversation."""

from tidyllm.core.message import Message, Role


def test_the_roles_are_openais_words() -> None:
    assert [role.value for role in Role] == ["system", "user", "assistant"]
    assert Message(Role.USER, "Hi").text == "Hi"

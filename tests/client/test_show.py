"""Conversations for a person to read."""

from tidyllm.client.show import as_html, as_text
from tidyllm.core.message import AssistantTurn, Conversation, UserTurn
from tidyllm.core.reply import Citation, Reply

TALK = Conversation(
    system="Be <brief>.",
    turns=(
        UserTurn("Hi <script>alert(1)</script>"),
        AssistantTurn(Reply(text="Hello & welcome.", model="m<1>", finish="stop")),
        UserTurn("Help me to steal."),
        AssistantTurn(Reply(refusal="No.")),
    ),
)


def test_text_has_one_block_a_turn() -> None:
    assert as_text(TALK) == (
        "[system]\nBe <brief>.\n\n"
        "[user]\nHi <script>alert(1)</script>\n\n"
        "[assistant, m<1>]\nHello & welcome.\n\n"
        "[user]\nHelp me to steal.\n\n"
        "[assistant, refused]\nNo."
    )
    assert as_text(Conversation()) == ""


def test_html_shows_what_was_said_and_obeys_none_of_it() -> None:
    html = as_html(TALK)
    assert html.count("<strong>") == 5
    assert "<script>" not in html
    for shown in ("Be &lt;brief&gt;.", "&lt;script&gt;", "m&lt;1&gt;", "Hello &amp; welcome."):
        assert shown in html


def test_the_sources_of_an_answer_stand_below_it_once_each() -> None:
    sources = (
        Citation(url="https://a.example/<b>", title="A", start=0, end=2),
        Citation(url="https://a.example/<b>", title="A"),
        Citation(title="notes.pdf"),
    )
    talk = Conversation(turns=(AssistantTurn(Reply(text="So it is.", citations=sources)),))
    assert as_text(talk) == "[assistant]\nSo it is.\n[1] A, https://a.example/<b>\n[2] notes.pdf"
    assert "https://a.example/&lt;b&gt;" in as_html(talk)

"""Templates over the columns of a table."""

import pytest

from tidyllm.client.rows import asker, parse_template, row_ids
from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation, UserTurn


def filled(text: str, row: dict[str, object]) -> str:
    return parse_template(text, what="prompt", columns=list(row)).fill(row, number=1)


def test_columns_stand_where_the_template_names_them() -> None:
    assert filled("Rate {text} ({stars}): {text}", {"text": "good", "stars": 5}) == "Rate good (5): good"


def test_braces_inside_the_data_are_data() -> None:
    assert filled("{text}", {"text": "{stars} {{x}} {"}) == "{stars} {{x}} {"


def test_doubled_braces_are_braces() -> None:
    assert filled('{{"a": {n}}} {{{n}}}', {"n": 1}) == '{"a": 1} {1}'


def test_a_column_may_have_any_name_without_braces() -> None:
    assert filled("{a.b} {c d} {0} {e:f}", {"a.b": 1, "c d": 2, "0": 3, "e:f": 4}) == "1 2 3 4"


def test_lists_and_structs_are_written_as_json() -> None:
    assert filled("{tags} {who}", {"tags": ["a", 1], "who": {"name": "ü"}}) == '["a",1] {"name":"ü"}'


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_missing_value_is_an_error_that_says_where(nothing: object) -> None:
    with pytest.raises(SettingError, match="Row 1 has no value in the column 'text'"):
        filled("{text}", {"text": nothing})


def test_bytes_are_no_text() -> None:
    template = parse_template("{raw}", what="prompt", columns=["raw"])
    with pytest.raises(SettingError, match=r"Row 2 has bytes in the column 'raw'.*media="):
        template.fill({"raw": b"ab"}, number=2)


def test_an_empty_text_is_a_value() -> None:
    assert filled("Rate: {text}", {"text": ""}) == "Rate: "


def test_a_missing_column_is_an_error_that_lists_the_columns() -> None:
    with pytest.raises(SettingError, match=r"'txt'. The columns are: text, stars. Did you mean \{text\}"):
        parse_template("{txt}", what="prompt", columns=["text", "stars"])
    with pytest.raises(SettingError, match=r"system= asks for a column '\"a\": 1'.*Write \{\{ and \}\}"):
        parse_template('Answer like {"a": 1}', what="system", columns=["text"])


@pytest.mark.parametrize(("text", "brace"), [("a { b", "'{' at character 3"), ("a}", "'}' at character 2")])
def test_a_lone_brace_is_an_error_that_says_where(text: str, brace: str) -> None:
    with pytest.raises(SettingError, match=brace):
        parse_template(text, what="prompt", columns=[])


def test_each_row_becomes_a_conversation() -> None:
    ask = asker("Rate {text}.", "You know {topic}.", columns=["text", "topic"])
    assert list(ask([{"text": "a", "topic": "wine"}, {"text": "b", "topic": "cars"}])) == [
        Conversation(system="You know wine.", turns=(UserTurn("Rate a."),)),
        Conversation(system="You know cars.", turns=(UserTurn("Rate b."),)),
    ]


def test_a_plain_list_needs_no_prompt() -> None:
    asked = list(asker(None, None, columns=["prompt"])([{"prompt": "Hi {x}"}]))
    assert asked == [Conversation(turns=(UserTurn("Hi {x}"),))]


def test_a_table_needs_a_prompt() -> None:
    for columns in ([], ["text", "prompt"]):
        with pytest.raises(SettingError, match="prompt= must say"):
            asker(None, None, columns=columns)


def test_rows_are_numbered_from_one() -> None:
    assert row_ids(2) == ["row-1", "row-2"]

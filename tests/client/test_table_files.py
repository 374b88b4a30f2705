from pathlib import Path

import polars as pl
import pytest

from tidyllm.client.table_files import TableFile, read_file, write_file
from tidyllm.core.errors import SettingError


def given(content: bytes, end: str = ".jsonl") -> TableFile:
    return TableFile(name=f"t{end}", end=end, content=content)


@pytest.mark.parametrize(
    ("end", "content", "said"),
    [
        (".jsonl", b"", "t.jsonl has no rows: there is nothing to send."),
        (".jsonl", b'{"a": 1}\n\n{"a": \n', "t.jsonl, line 3 is no JSON"),
        (".jsonl", b"\xff\n", "t.jsonl, line 1 is no JSON"),
        (".jsonl", b"[1]\n", "t.jsonl, line 1 is no object"),
        (".jsonl", b'{"a": "x"}\n{"a": 1}\n', "t.jsonl, line 2: the column 'a' holds 1, and something of another kind"),
        (".jsonl", b'{"a": 2}\n{"a": true}\n', "t.jsonl, line 2: the column 'a' holds True"),
        (".jsonl", b'{"a": [1]}\n{"a": ["x"]}\n', "the column 'a' holds [1]"),
        (".csv", b"", "t.csv has no rows"),
        (".csv", b"a,b\n", "t.csv has no rows"),
        (".csv", b"a,a\n1,2\n", "t.csv has several columns 'a'"),
        (".csv", b"a\n1,2\n", "t.csv is no csv that can be read"),
        (".csv", b"a\n\xff\xfe\n", "t.csv is no csv that can be read: invalid utf-8"),
        (".parquet", b"", "t.parquet is no parquet that can be read"),
        (".parquet", b"PAR1 and so on", "t.parquet is no parquet that can be read"),
    ],
)
def test_what_is_no_table_says_where_it_is_wrong(end: str, content: bytes, said: str) -> None:
    with pytest.raises(SettingError) as refused:
        read_file(given(content, end))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_fields_that_lines_lack_are_null_at_any_depth() -> None:
    table = read_file(given(b'{"a": {"x": 1}}\n{"a": {"y": [2]}, "b": 0.5}\n{"a": null}\n'))
    assert table["b"].to_list() == [None, 0.5, None]
    assert table["a"].to_list() == [{"x": 1, "y": None}, {"x": None, "y": [2]}, None]


def test_the_cells_of_csv_are_texts_as_they_stand_there() -> None:
    table = read_file(given(b"\xef\xbb\xbfzip,text\r\n007,\r\n1.50,a\r\n", ".csv"))
    assert table.rows() == [("007", None), ("1.50", "a")]
    assert table.columns == ["zip", "text"]


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be written"):
        write_file(pl.DataFrame({"a": [1]}), tmp_path / "none" / "t.parquet")

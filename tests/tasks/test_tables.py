"""Files as other programs write them give the rows that were written, or one line that says where and why not."""

from __future__ import annotations

import gzip
import json
import os
import random
import unicodedata
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks import table, tables

# Whatever separates or quotes is part of a text too; an NBSP and U+2028 are no line breaks of a file.
TEXTS = [
    "plain", "with, comma", "with; semicolon", "with\ttab", 'a "quoted" word', "two\nlines", "Größe, façade",
    "NA", "None", "a\u2028b\u00a0c", "x" * 200_000, "1,5", "|", "ends in a backslash\\",
]  # fmt: skip
FRAME = pd.DataFrame({"id": range(len(TEXTS)), "text": TEXTS, "label": [f"l{i % 3}" for i in range(len(TEXTS))]})


def read(path: Path, *names: str) -> tables.Table:
    return tables.read(path, path.read_bytes(), names or ("text", "label"))


def refusal(path: Path, *names: str) -> str:
    with pytest.raises(ValueError, match=path.name) as caught:
        read(path, *names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(table: tables.Table) -> bool:
    return (table.columns["text"], table.columns["label"]) == (list(FRAME["text"]), list(FRAME["label"]))


@pytest.mark.parametrize("suffix", ["csv", "CSV", "tsv", "csv.gz"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_pandas_writes_as_csv(tmp_path: Path, suffix: str, separator: str, encoding: str):
    path = tmp_path / f"a.{suffix}"
    FRAME.to_csv(path, sep=separator, encoding=encoding, index=False)
    table = read(path)
    assert same(table)
    assert tables.SEPARATORS[separator] in table.understood
    assert encoding.partition("-sig")[0].upper() in table.understood


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "", "\ufeffsep=;"])
def test_line_ends_and_excels_line_about_the_separator(tmp_path: Path, ending: str, first: str):
    lines = [*([first] if first else []), "text;label", "one, two;a", "three;b", ";", ""]
    (tmp_path / "a.csv").write_bytes(ending.join(lines).encode())
    table = read(tmp_path / "a.csv")
    assert table.columns == {"text": ["one, two", "three"], "label": ["a", "b"]}
    assert table.place(1).endswith(f":{4 if first else 3}")


def test_the_separator_is_that_of_the_columns_asked_for(tmp_path: Path):
    (tmp_path / "a.csv").write_text("a,b,c,text;label\n1,2,3,yes;no\n")
    assert read(tmp_path / "a.csv", "a,b,c,text", "label").columns == {"a,b,c,text": ["1,2,3,yes"], "label": ["no"]}


@pytest.mark.parametrize("orient", ["records", "list", "table", "lines", "lines.gz", "lines in .json"])
def test_what_pandas_writes_as_json(tmp_path: Path, orient: str):
    lines = orient.startswith("lines")
    path = tmp_path / ("a.jsonl.gz" if "gz" in orient else "a.jsonl" if orient == "lines" else "a.json")
    if orient == "list":
        path.write_text(json.dumps(FRAME.to_dict("list")), encoding="utf-8")
    elif orient == "table":
        path.write_text(json.dumps({"version": 1, "data": FRAME.to_dict("records")}), encoding="utf-8")
    else:
        FRAME.to_json(path, orient="records", lines=lines, force_ascii=False)
    assert same(read(path))


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"compression": "zstd", "row_group_size": 3}])
def test_what_pandas_writes_as_parquet(tmp_path: Path, options: dict):
    FRAME.set_index("id").to_parquet(tmp_path / "a.parquet", **options)
    assert same(read(tmp_path / "a.parquet"))
    FRAME.astype({"label": "category"}).to_parquet(tmp_path / "b.parquet")
    assert same(read(tmp_path / "b.parquet"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schöne Grüße – “so”", "'schöne', 'Grüße'"),
        ("il est à moi", "'à'"),
        ("LA BEAUTÉ\xa0! " + "créé " * 20, "'BEAUTÉ', 'créé'"),
        ("it’s", "'it’s,1'"),
    ],
)
def test_windows_1252_is_told_with_words_that_show_it(tmp_path: Path, text: str, words: str):
    (tmp_path / "a.csv").write_bytes(f"text,label\n{text} ,1\nplain,2\n".replace("it’s ", "it’s").encode("cp1252"))
    table = read(tmp_path / "a.csv")
    assert [cell.strip() for cell in table.columns["text"]] == [text.strip(), "plain"]
    assert table.understood == f"CSV separated by commas, Windows-1252 (as in {words})"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1251", "Хороший фильм"), ("gbk", "这部电影很好"), ("shift_jis", "とても良い"), ("koi8-r", "Плохой"),
     ("iso8859-7", "Καλή ταινία"), ("cp1255", "סרט טוב מאוד")],
)  # fmt: skip
def test_other_encodings_are_not_taken_for_it(tmp_path: Path, encoding: str, text: str):
    (tmp_path / "a.csv").write_bytes(f"text,label\n{text},1\n".encode(encoding))
    assert "save it as UTF-8" in refusal(tmp_path / "a.csv")


def test_a_damaged_byte_is_named_by_byte_and_line(tmp_path: Path):
    content = "text,label\nGröße,1\nStraße,2\n".encode()
    at = content.rindex("ß".encode())
    (tmp_path / "a.csv").write_bytes(content[: at + 1] + content[at + 2 :])
    assert f"at byte {at} (0xc3, line 3)" in refusal(tmp_path / "a.csv")


def test_utf_16_without_its_mark(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes("text,label\na,1\n".encode("utf-16-le"))
    assert "a.csv:1: holds a NUL character" in refusal(tmp_path / "a.csv")


def test_places_count_the_lines_of_texts_with_several(tmp_path: Path):
    (tmp_path / "a.csv").write_text('text,label\n"one\ntwo\nthree",a\n\n"four\nfive",b\nsix,c\n')
    table = read(tmp_path / "a.csv")
    assert [table.place(row).rpartition(":")[2] for row in range(3)] == ["2", "6", "8"]


@pytest.mark.parametrize("middle", ['it said "so"', "plain"])
def test_quotation_marks_between_tabs_are_characters_where_lines_are_rows(tmp_path: Path, middle: str):
    (tmp_path / "a.tsv").write_text(f'text\tlabel\n"Good film\t1\n{middle}\t2\nthe end"\t1\n')
    table = read(tmp_path / "a.tsv")
    assert table.columns["text"] == ['"Good film', middle, 'the end"']
    assert "quotation marks taken as characters" in table.understood


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "", "a.csv: is empty"),
        ("a.csv", " \n\n", "a.csv: is empty"),
        ("a.csv", "\ufeff", "a.csv: holds no rows"),
        ("a.csv", "text,label\n", "a.csv: holds no rows"),
        ("a.csv", "text,label\n\n,\n", "a.csv: holds no rows"),
        ("a.csv", "text,label,text\na,1,b\n", "a.csv: the column 'text' is there 2 times"),
        ("a.csv", "Text,label\na,1\n", "a.csv: no column 'text'; there are 'Text', 'label'"),
        ("a.csv", 'text,label\n"a\nb",1\nc\n', "a.csv:4: has 1 fields, the header 2"),
        ("a.csv", "text;label\na;1;x\n", "a.csv:2: has 3 fields, the header 2; put texts with semicolons"),
        ("a.csv", 'text,label\na,1\n"b,1\nc,2\n', "a.csv:3: cannot be read: a quotation mark opens"),
        ("a.csv", 'text,label\n"b" c,1\n', "a.csv:2: cannot be read"),
        ("a.csv", "text,label\na,1\nb\0,2\n", "a.csv:3: holds a NUL"),
        ("a.jsonl", '{"text": "a", "label": 1}\n\n{"text": \n', "a.jsonl:3: is no JSON"),
        ("a.jsonl", '{"text": "a", "text": "b", "label": 1}', "a.jsonl:1: the key 'text' is there twice"),
        ("a.jsonl", '["a", 1]\n', "a.jsonl:1: is no JSON object"),
        ("a.jsonl", '{"text": "a"}\n', "a.jsonl:1: no column 'label'; there are 'text'"),
        ("a.jsonl", '{"text": ' + "[" * 200_000 + "\n", "a.jsonl:1: is nested too deeply"),
        ("a.jsonl", f'{{"text": "a", "label": {"9" * 5000}}}', "a.jsonl:1: Exceeds the limit"),
        ("a.json", '[{"text": "a", "label": 1}, 2]', "a.json, row 2: is no JSON object"),
        ("a.json", '[{"text": "a", "label": 1}, {"text": "a"}]', "a.json, row 2: no column 'label'"),
        ("a.json", '{"train": [{"text": "a"}], "test": []}', "a.json: holds several lists ('train', 'test')"),
        ("a.json", '{"text": ["a", "b"], "label": [1]}', "a.json: its columns differ in length"),
        ("a.json", '[{"text": "a",\n "label" 1}]', "a.json:2: is no JSON"),
        ("a.json", "3", "a.json: is no list of JSON objects"),
        ("a.parquet", "PAR1 and no more", "a.parquet: cannot be read"),
        ("a.csv.gz", "text,label\na,1\n", "a.csv.gz: cannot be unpacked"),
        ("a.ods", "x", "a.ods: is a spreadsheet; save it as .xlsx, or its sheet as CSV"),
        ("a.xlsx", "x", "a.xlsx: is no workbook that can be read"),
        ("a", "x", "a: ends in none of .csv"),
        ("a.gz", "x", "a.gz: ends in none of .csv"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, content: str, expected: str):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert expected in refusal(tmp_path / name)


def test_a_packed_file_that_broke_off(tmp_path: Path):
    whole = gzip.compress(os.urandom(1000))
    (tmp_path / "a.csv.gz").write_bytes(whole[:500])
    assert "a.csv.gz: cannot be unpacked" in refusal(tmp_path / "a.csv.gz")


def test_columns_that_parquet_has_twice(tmp_path: Path):
    parquet.write_table(pa.table([["a"], ["b"], [1]], names=["text", "text", "label"]), tmp_path / "a.parquet")
    assert "the column 'text' is there 2 times" in refusal(tmp_path / "a.parquet")


def test_a_name_is_the_same_composed_and_decomposed(tmp_path: Path):
    decomposed = unicodedata.normalize("NFD", "größe")
    assert decomposed != "größe"
    (tmp_path / "a.csv").write_text(f"text, {decomposed}\na,1\n", encoding="utf-8")
    assert read(tmp_path / "a.csv", "text", "größe").columns["größe"] == ["1"]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "größe": 1}), encoding="utf-8")
    assert read(tmp_path / "a.jsonl", "text", decomposed).columns["größe"] == [1]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet", "repeated.parquet", "rows.parquet"])
def test_what_unpacks_to_too_much_is_refused_before_it_does(tmp_path: Path, monkeypatch, name: str):
    monkeypatch.setattr(tables, "LARGEST", 100_000)
    monkeypatch.setattr(table, "LARGEST", 100_000)
    monkeypatch.setattr(table, "MOST_ROWS", 50_000)
    noise = random.Random(0)
    texts = {
        "a.parquet": [str(noise.random()) for _ in range(20_000)],
        "repeated.parquet": ["x" * 1000] * 40_000,
        "rows.parquet": ["x"] * 60_000,
    }
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"text,label\n" + b"x" * 200_000))
    else:
        pd.DataFrame({"text": texts[name], "label": 1}).to_parquet(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 400_000
    assert "take a part of it" in refusal(tmp_path / name)

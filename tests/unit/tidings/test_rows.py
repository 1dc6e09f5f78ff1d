"""CSV to notifications: columns, faults by line, and keys that make a second run send nothing twice."""

from collections.abc import Iterable
from typing import Any

import pytest

from tidings.cli.rows import Row, rows
from tidings.template_files import BadFile

COMMON = {"type": "hello", "template": "hello", "priority": "high", "data": {"shop": "Tea & Co"}}


def read(*lines: str, common: dict[str, Any] = COMMON, run: str = "") -> list[Row]:
    return list(rows((f"{line}\n" for line in lines), common, run))


def keys(found: Iterable[Row]) -> list[str]:
    return [row.fields["idempotency_key"] for row in found if row.fields is not None]


def test_columns_go_to_the_recipient_or_into_data() -> None:
    (row,) = read(
        "email,phone,language,timezone,fcm,apns,name,total:number,vip:bool,items:json,data.email",
        'ada@example.com,+34612345678,es,Europe/Madrid,t1,,Ada,9.5,yes,"[1, 2]",other@example.com',
    )
    assert row.fault == ""
    assert row.fields is not None
    assert row.fields["recipient"] == {
        "email": "ada@example.com",
        "phone": "+34612345678",
        "language": "es",
        "timezone": "Europe/Madrid",
        "devices": [("fcm", "t1")],
    }
    assert row.fields["data"] == {
        "shop": "Tea & Co",
        "name": "Ada",
        "total": 9.5,
        "vip": True,
        "items": [1, 2],
        "email": "other@example.com",
    }
    assert (row.fields["type"], row.fields["priority"]) == ("hello", "high")


def test_a_cell_that_is_empty_is_left_out_of_data() -> None:
    (row,) = read("email,name,note", "ada@example.com,Ada,")
    assert row.fields is not None
    assert row.fields["data"] == {"shop": "Tea & Co", "name": "Ada"}


def test_bad_rows_are_told_by_their_line_and_the_rest_goes_on() -> None:
    found = read(
        "email,name,total:number",
        "a@example.com,A,1",
        "b@example.com,B",  # a cell is missing
        'c@example.com,"C',
        'C",2',  # one row on two lines
        ",D,3",  # nobody
        "e@example.com,E,many",
        "",
        "f@example.com,\udcff,4",  # not UTF-8
        "g@example.com,G,5",
    )
    assert [(row.line, row.fault.split(":")[0]) for row in found] == [
        (2, ""),
        (3, "2 cells, but the first line names 3 columns"),
        (4, ""),
        (6, "nobody to send to"),
        (7, "column total"),
        (9, "is not UTF-8"),
        (10, ""),
    ]
    assert found[2].fields is not None
    assert found[2].fields["data"] == {"shop": "Tea & Co", "name": "C\nC", "total": 2}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_and_a_byte_order_mark_is_no_name(delimiter: str) -> None:
    (row,) = read(f"\ufeffemail{delimiter}name", f"a@example.com{delimiter}A")
    assert row.fields is not None
    assert row.fields["data"]["name"] == "A"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "names the columns"),
        ("email,name,name", "each once"),
        ("email,,name", "names the columns"),
        ("name,total", "no column says where to send"),
        ("language,name", "no column says where to send"),
        ("email,total:money", "'money' is not known"),
    ],
)
def test_a_wrong_header_stops_the_file(header: str, words: str) -> None:
    with pytest.raises(BadFile, match=words):
        read(header, "x")


def test_the_same_file_has_the_same_keys() -> None:
    lines = ["email,name", "a@example.com,A", "b@example.com,B"]
    assert keys(read(*lines)) == keys(read(*lines))
    assert len(set(keys(read(*lines)))) == 2


def test_a_corrected_or_reordered_file_keeps_the_keys_of_its_other_rows() -> None:
    before = keys(read("email,name", "a@example.com,A", "b@example.com,B", "c@example.com,C"))
    after = keys(read("email,name", "c@example.com,C", "b@example.com,Beate", "a@example.com,A"))
    assert (after[0], after[2]) == (before[2], before[0])
    assert after[1] not in before


def test_a_row_that_stands_twice_is_sent_twice() -> None:
    assert len(set(keys(read("email", "a@example.com", "a@example.com")))) == 2


def test_another_run_or_another_template_is_another_send() -> None:
    lines = ["email", "a@example.com"]
    made = {
        *keys(read(*lines)),
        *keys(read(*lines, run="again")),
        *keys(read(*lines, common={**COMMON, "template": "other"})),
        *keys(read(*lines, common={**COMMON, "priority": "low"})),
    }
    assert len(made) == 4

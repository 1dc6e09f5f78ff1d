"""CSV rows to notifications. Pure: lines in, rows out; a bad row is a row with a fault, never an exception.

Columns that name an address are the recipient's (recipient_id, email, phone, fcm, apns, language, timezone), all others are
data. "data.email" puts an address-like name into data; ":number", ":bool" and ":json" after a name say what a cell holds.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from tidings.messages import NotificationFields
from tidings.template_files import BadFile

RECIPIENT = ("recipient_id", "email", "phone", "language", "timezone")
PLATFORMS = ("fcm", "apns")
DELIMITERS = (",", ";", "\t")
KEY_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a notification, or what is wrong with it. `line` is where it begins in the file, from 1."""

    line: int
    fields: NotificationFields | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """Where a cell goes: `part` is "recipient", "device" or "data"."""

    part: str
    name: str
    convert: Callable[[str], Any]


def _number(cell: str) -> float | int:
    try:
        return int(cell)
    except ValueError:
        return float(cell)


def _bool(cell: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if cell.lower() not in words:
        raise ValueError("expected true or false")
    return words[cell.lower()]


KINDS: dict[str, Callable[[str], Any]] = {"": str, "number": _number, "bool": _bool, "json": json.loads}


def column(title: str) -> Column:
    """What a column's title says.

    Raises:
        BadFile: a kind that does not exist.
    """
    name, _, kind = title.strip().partition(":")
    if kind not in KINDS:
        raise BadFile(f"line 1: column {title!r}: {kind!r} is not known; use {name}, {name}:number, {name}:bool or {name}:json")
    if name in RECIPIENT:
        return Column("recipient", name, str)
    if name in PLATFORMS:
        return Column("device", name, str)
    return Column("data", name.removeprefix("data."), KINDS[kind])


def header(line: str) -> tuple[list[Column], str]:
    """Columns and the delimiter (comma, semicolon or tab, whichever the first line has most of).

    Raises:
        BadFile: no columns, one without a name, two of one name, or none that says where to send.
    """
    delimiter = max(DELIMITERS, key=line.count)
    titles = next(csv.reader([line], delimiter=delimiter), [])
    columns = [column(title) for title in titles]
    twice = [name for name, count in Counter((c.part, c.name) for c in columns).items() if count > 1]
    if not columns or any(not c.name for c in columns) or twice:
        raise BadFile("line 1: the first line names the columns, each once, e.g. email,language,name")
    if not any(c.part == "device" or c.name in {"recipient_id", "email", "phone"} for c in columns if c.part != "data"):
        raise BadFile("line 1: no column says where to send: name one recipient_id, email, phone, fcm or apns")
    return columns, delimiter


def rows(lines: Iterable[str], common: Mapping[str, Any], run: str = "") -> Iterator[Row]:
    """The notifications of a file.

    Args:
        lines: of the file, opened with newline="" and errors="surrogateescape".
        common: what all have in common: type, template, priority...
        run: mixed into the idempotency keys: with another word the same file is sent once more.

    The key of a row is made from its content, so that the same rows in a corrected or reordered file keep theirs.

    Raises:
        BadFile: the header is wrong.
    """
    feed = iter(lines)
    first = next(feed, "").removeprefix("\ufeff")
    columns, delimiter = header(first)
    reader = csv.reader(feed, delimiter=delimiter)
    seen: Counter[str] = Counter()
    while True:
        line = reader.line_num + 2  # of the file: its first line is not the reader's
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(line, None, f"not CSV: {error}")
            continue
        if not any(cells):
            continue
        try:
            fields = fields_of(columns, cells, common)
        except ValueError as fault:
            yield Row(line, None, str(fault))
            continue
        content = json.dumps([run, fields], sort_keys=True, default=str)
        seen[content] += 1  # a row that stands twice is meant twice
        digest = hashlib.sha256(f"{seen[content]}:{content}".encode()).hexdigest()
        yield Row(line, cast(NotificationFields, {**fields, "idempotency_key": f"csv-{digest[:KEY_CHARACTERS]}"}))


def fields_of(columns: list[Column], cells: list[str], common: Mapping[str, Any]) -> dict[str, Any]:
    """One row's notification, without its key.

    Raises:
        ValueError: what is wrong with the row.
    """
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells, but the first line names {len(columns)} columns")
    if any("\udc80" <= letter <= "\udcff" for letter in chain.from_iterable(cells)):
        raise ValueError("is not UTF-8: save the file as UTF-8")
    recipient: dict[str, Any] = {}
    data: dict[str, Any] = dict(common.get("data", {}))
    for target, cell in zip(columns, cells, strict=True):
        if target.part == "device":
            recipient.setdefault("devices", []).extend([(target.name, cell.strip())] if cell.strip() else [])
        elif target.part == "recipient":
            recipient[target.name] = cell.strip()
        elif cell:
            try:
                data[target.name] = target.convert(cell)
            except ValueError as error:
                raise ValueError(f"column {target.name}: {cell!r} is not what the first line says") from error
    if not any(recipient.get(name) for name in ("recipient_id", "email", "phone", "devices")):
        raise ValueError("nobody to send to: recipient_id, email, phone, fcm and apns are all empty")
    return {**common, "recipient": recipient, "data": data}

"""Receipts: what a push carries, and that nobody else can make one."""

import jwt
import pytest

from core.errors import BadToken
from core.model import Channel, Part
from core.settings import Settings
from core.signing import Receipt, read_receipt, sign_receipt
from senders.receipts import Receipts
from tests.unit.senders.kit import PUSH, delivery, message

SECRET = "0123456789abcdef"


def test_a_push_carries_its_receipt() -> None:
    settings = Settings(secret_key=SECRET, web_public_url="https://t.example/")
    item = delivery("token", PUSH, channel=Channel.PUSH, device=3)
    data = Receipts(settings).data(message(item))
    assert data["order"] == "7"
    assert data["tidings_receipt_url"] == "https://t.example/receipts"
    assert read_receipt(SECRET, data["tidings_receipt"]) == Receipt(item.id, Channel.PUSH, 3)


def test_data_is_text() -> None:
    receipts = Receipts(Settings(secret_key=SECRET))
    data = receipts.data(message(delivery("t", {Part.DATA: '{"n": 7, "deep": {"a": [1]}, "s": "x"}'}, channel=Channel.PUSH)))
    assert (data["n"], data["deep"], data["s"]) == ("7", '{"a":[1]}', "x")
    assert "tidings_receipt" in receipts.data(message(delivery("t", {Part.TITLE: "no data"}, channel=Channel.PUSH)))
    for broken in ("[1]", "{"):
        with pytest.raises(ValueError):
            receipts.data(message(delivery("t", {Part.DATA: broken}, channel=Channel.PUSH)))


def test_data_that_is_made_ahead_is_the_same_and_damaged_ones_stop_no_others() -> None:
    receipts = Receipts(Settings(secret_key=SECRET))
    good, broken, last = (
        message(delivery(address, {Part.DATA: data}, channel=Channel.PUSH))
        for address, data in (("t", '{"n": 7}'), ("t", "[1]"), ("u", '{"n": 8}'))
    )
    receipts.make_ahead([good, broken, last])
    made = good.data
    assert made is not None and receipts.data(good) is made
    assert made == receipts.data(message(good.record))
    assert last.data is not None and last.data["n"] == "8"
    with pytest.raises(ValueError):
        receipts.data(broken)


def test_forged_receipts_are_refused() -> None:
    good = sign_receipt(SECRET, delivery().id, Channel.PUSH, 0)
    head, body, _ = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    forgeries = [
        "",
        "x",
        f"{head}.{body}.",
        good[:-2],
        sign_receipt("another secret 123", delivery().id, Channel.PUSH, 0),
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, SECRET.encode().ljust(32), algorithm="HS256"),  # the secret itself is not the key
    ]
    for forged in forgeries:
        with pytest.raises(BadToken):
            read_receipt(SECRET, forged)

"""Receipts: what PyJWT would sign, byte for byte, and read again; nothing else is one."""

import hashlib
import hmac

import jwt
import pytest

from core.errors import BadToken
from core.ids import format_id, new_id
from core.model import Channel, Priority
from core.signing import Receipt, read_receipt, sign_receipt

SECRET = "only-for-tests-0123456789"
ID = new_id(3, Priority.HIGH, 1_700_000_000_000)


@pytest.mark.parametrize("device", [0, 1, 12, 255])
def test_a_receipt_is_the_token_that_pyjwt_signs(device: int) -> None:
    key = hmac.digest(SECRET.encode(), b"tidings receipt v1", hashlib.sha256)
    expected = jwt.encode({"n": format_id(ID), "c": 3, "d": device}, key, algorithm="HS256")
    assert sign_receipt(SECRET, ID, Channel.PUSH, device) == expected


def test_it_is_read_again() -> None:
    assert read_receipt(SECRET, sign_receipt(SECRET, ID, Channel.PUSH, 2)) == Receipt(ID, Channel.PUSH, 2)


def test_another_s_and_a_changed_one_are_refused() -> None:
    token = sign_receipt(SECRET, ID, Channel.PUSH, 2)
    head, claims, signature = token.split(".")
    another = sign_receipt(SECRET + "x", ID, Channel.PUSH, 2)
    for wrong in (another, f"{head}.{claims[:-1]}A.{signature}", token[:-3], "", "a.b.c"):
        with pytest.raises(BadToken):
            read_receipt(SECRET, wrong)

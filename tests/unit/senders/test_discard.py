"""Discard: everything is noted as sent, nothing goes out, and nobody gets it by mistake."""

import logging
from typing import Any

import pytest

from core.errors import ConfigError
from core.model import Part, Status
from core.settings import Settings
from senders.email import open_email
from tests.unit.senders.kit import Notes, delivery, messages


async def test_every_email_is_answered_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tidings.senders"):
        channel = open_email(Settings(email_providers=("discard",)))  # no credentials, no sender address
    assert "NOT SENT" in caplog.text
    desk = Notes(refuse=[1])
    some = messages([delivery() for _ in range(3)])
    await channel.send(some, desk)
    assert sorted(desk.answers) == [0, 2]
    assert {(answer.status, answer.code) for answer in desk.answers.values()} == {(Status.SENT, "discarded")}
    assert {message.provider for message in some} == {"discard"}
    await channel.send(messages([delivery()]), Notes(refuse=[0]))  # nothing begun, nothing told
    await channel.close()


async def test_an_empty_email_fails_here_too() -> None:
    channel, desk = open_email(Settings(email_providers=("discard",))), Notes()
    await channel.send(messages([delivery(), delivery(parts={Part.SUBJECT: "only"})]), desk)
    assert [desk.answers[place].code for place in (0, 1)] == ["discarded", "no_content"]
    await channel.close()


async def test_a_route_may_name_it_for_some_types() -> None:
    own: dict[str, Any] = {"email_from": "a@example.org", "email_providers": ("smtp",), "smtp": {"host": "127.0.0.1"}}
    channel = open_email(Settings(email_routes={"rehearsal*": "discard"}, **own))
    choose = channel.routes.selection(delivery()).choose
    conditions = channel.routes.conditions()
    assert [choose(delivery(type=t), conditions) for t in ("rehearsal.load", "order")] == ["discard", "smtp"]
    await channel.close()


@pytest.mark.parametrize("providers", [("discard", "smtp"), ("smtp", "discard")])
async def test_it_does_not_share_with_others(providers: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError, match="stands alone"):
        open_email(Settings(email_providers=providers, email_from="a@example.org", smtp={"host": "127.0.0.1"}))


async def test_it_is_there_only_if_it_is_asked_for() -> None:
    channel = open_email(Settings(email_providers=("smtp",), email_from="a@example.org", smtp={"host": "127.0.0.1"}))
    assert channel.routes.provider("discard") is None
    await channel.close()

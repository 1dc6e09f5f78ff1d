"""What operators do on the command line: dead letters listed, replayed, dropped, exported; channels halted; stations seen."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tidings
from core import keys
from core.ids import format_id, new_id
from core.model import Channel, ErrorClass, Priority
from core.settings import Settings
from core.store import Store
from core.streams import Append, Streams
from core.wellbeing import Wellbeing, Wellbeings
from fastpath import Record, pack_frame, record
from fastpath.layout import DELIVERY
from ledger import Ledger
from tests.integration.gateway_kit import Door, gateway
from tidings.cli import output
from tidings.cli.app import app
from tidings.cli.output import Exit

PLAIN = {"TERM": "dumb", "NO_COLOR": "1"}
ACCEPTED = 1_700_000_000_000


class Cli:
    """Runs commands beside the test's gateway, as a person would who has set TIDINGS_TARGET and TIDINGS_API_KEY."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.environment = PLAIN | {"TIDINGS_TARGET": door.target, "TIDINGS_API_KEY": door.key}
        self.stderr = ""

    async def __call__(self, *words: str, code: int = Exit.OK, typed: str | None = None) -> str:
        """stdout of a command that ends with `code`."""
        done = await asyncio.to_thread(CliRunner().invoke, app, words, env=self.environment, input=typed)
        assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
        self.stderr = done.stderr
        return done.stdout

    async def json(self, *words: str, code: int = Exit.OK) -> Any:
        """The one JSON document that a command prints with --json."""
        return json.loads(await self(*words, "--json", code=code))

    async def keys(self, *words: str) -> list[str]:
        """Keys of the letters that list shows."""
        return [letter["key"] for letter in await self.json("dead", "list", *words)]


@pytest.fixture
async def cli(settings: Settings, store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cli]:
    for console in (output.stdout, output.stderr):  # whatever the terminal of whoever runs the tests
        monkeypatch.setattr(console, "width", 200)
    async with gateway(settings, store, ledger) as door:
        await door.put()
        yield Cli(door)


def dead(type_: str = "otp", channel: Channel = Channel.SMS, **more: Any) -> Record:
    fields: dict[str, Any] = {"template": "welcome", "version": 1, "attempt": 4, "error_class": ErrorClass.TEMPORARY, **more}
    id_ = new_id(1, Priority.HIGH, ACCEPTED)
    return record(
        DELIVERY,
        id=id_,
        priority=2,
        klass=1,
        channel=channel,
        type=type_,
        address="+4915112345678",
        accepted_ms=ACCEPTED,
        **fields,
    )


async def bury(cli: Cli, *items: Record) -> list[str]:
    """Their keys."""
    streams = [keys.dead(1, Channel(item.channel)) for item in items]
    where = await Streams(cli.door.store).append(
        [Append(stream, pack_frame([item])) for stream, item in zip(streams, items, strict=True)]
    )
    return [f"{entry}@{stream}" for entry, stream in zip(where, streams, strict=True)]


async def waiting(cli: Cli, channel: Channel = Channel.SMS) -> int:
    """Frames in the channel's stream."""
    (count,) = await cli.door.store.send([["XLEN", keys.outbound(1, channel, Priority.HIGH)]])
    return int(count)


async def test_letters_are_listed_by_every_filter(cli: Cli) -> None:
    otp = dead(code="503", reason="[b]no carrier")
    first, second, third = await bury(cli, otp, dead("news", Channel.EMAIL), dead(error_class=ErrorClass.POISON, code="poison"))
    assert await cli.keys() == [second, first, third]  # by channel, oldest first
    assert await cli.keys("--channel", "email") == [second]
    assert await cli.keys("--type", "otp", "--error-class", "poison") == [third]
    assert await cli.keys("--after", "1h") == [second, first, third]
    assert await cli.keys("--before", "1h") == []
    assert await cli.keys("--after", "2090-01-01") == []
    assert await cli.keys("--limit", "1") == [second]
    shown = await cli("dead", "list", "--channel", "sms")
    assert first in shown
    assert "temporary 503 [b]no carrier" in shown
    assert "+49" not in shown
    await cli("dead", "list", "--limit", "2")
    assert "The first 2" in cli.stderr
    assert await cli("dead", "list", "--type", "other") == "There are none.\n"
    await cli("dead", "list", "--after", "yesterday", code=Exit.USAGE)
    await cli("dead", "list", "--channel", "fax", code=Exit.REFUSED)


async def test_one_letter_is_shown(cli: Cli) -> None:
    item = dead(reason="[b]no carrier", recipient_id="u1")
    (key,) = await bury(cli, item)
    shown = await cli("dead", "show", key)
    assert "[b]no carrier" in shown
    found = await cli.json("dead", "show", key)
    assert found["letter"]["notification_id"] == format_id(item.id)
    assert (found["letter"]["recipient_id"], found["letter"]["attempts"]) == ("u1", 4)
    assert found["letter"]["accepted_at"] == "2023-11-14T22:13:20Z"
    assert found["notification"] is None  # the ledger has never heard of it
    await cli("dead", "show", key.replace("@", "1@"), code=Exit.REFUSED)
    assert "no dead letter of this key" in cli.stderr


async def test_letters_are_replayed_and_what_was_not_sent_again_is_told(cli: Cli) -> None:
    first, second, expired = await bury(cli, dead(), dead(), dead(expires_ms=ACCEPTED))
    assert await cli("dead", "replay", "--key", first) == "1 replayed\n"
    assert await waiting(cli) == 1
    assert await cli.keys() == [second, expired]
    await cli("dead", "replay", "--key", first, code=Exit.FAILED)  # there is no such letter any more
    told = await cli.json("dead", "replay", "--all", "--rate", "1000", code=Exit.FAILED)
    assert told == {"fates": {"replayed": 1, "expired": 1}, "stopped": None}
    assert await waiting(cli) == 2
    assert await cli("dead", "replay", "--all") == "No dead letter fits.\n"


async def test_a_replay_takes_its_filter_and_its_limit(cli: Cli) -> None:
    await bury(cli, dead(), dead("news", Channel.EMAIL), dead("news", Channel.EMAIL), dead("other", Channel.EMAIL))
    assert await cli("dead", "replay", "--type", "news", "--limit", "1") == "1 replayed\n"
    assert await waiting(cli, Channel.EMAIL) == 1
    assert len(await cli.keys("--type", "news")) == 1
    assert len(await cli.keys()) == 3


@pytest.mark.parametrize("command", ["replay", "drop"])
async def test_all_must_be_said(cli: Cli, command: str) -> None:
    await bury(cli, dead())
    await cli("dead", command, code=Exit.USAGE)
    await cli("dead", command, "--limit", "1", code=Exit.USAGE)
    await cli("dead", command, "--all", "--type", "otp", code=Exit.USAGE)
    assert len(await cli.keys()) == 1
    assert await waiting(cli) == 0


async def test_a_drop_asks_first(cli: Cli) -> None:
    await bury(cli, dead(), dead(), dead("news", Channel.EMAIL))
    await cli("dead", "drop", "--type", "otp", code=1, typed="n\n")
    assert "Delete 2 dead letters for good?" in cli.stderr
    assert len(await cli.keys()) == 3
    await cli("dead", "drop", "--type", "otp", "--json", code=Exit.USAGE)
    told = await cli("dead", "drop", "--type", "otp", typed="y\n")
    assert told.endswith("2 dropped\n")  # before it the runner's echo of what was typed
    assert await cli.json("dead", "drop", "--all", "--yes") == {"fates": {"dropped": 1}, "stopped": None}
    assert await cli.keys() == []
    await cli("dead", "drop", "--all")
    assert "No dead letter fits." in cli.stderr


async def test_an_export_is_lines_of_json_and_leaves_them_where_they_are(cli: Cli, tmp_path: Path) -> None:
    listed = await bury(cli, *(dead() for _ in range(250)))
    lines = (await cli("dead", "export", "--channel", "sms")).splitlines()
    assert [json.loads(line)["key"] for line in lines] == listed
    file = tmp_path / "letters.jsonl"
    assert await cli.json("dead", "export", str(file), "--limit", "3") == {"exported": 3, "file": str(file)}
    assert file.read_text().splitlines() == lines[:3]
    assert os.listdir(tmp_path) == [file.name]
    assert len(await cli.keys("--limit", "0")) == 250
    await cli("dead", "export", str(tmp_path / "nowhere" / "letters.jsonl"), code=Exit.USAGE)


async def test_an_export_that_is_cut_short_leaves_what_was_there(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "letters.jsonl"
    file.write_text("earlier\n")
    cli.environment["TIDINGS_API_KEY"] = "tk_wrong"
    await cli("dead", "export", str(file), code=Exit.FORBIDDEN)
    assert file.read_text() == "earlier\n"
    assert os.listdir(tmp_path) == [file.name]


async def test_a_channel_is_halted_and_resumed(cli: Cli) -> None:
    assert "`tidings resume sms` lets it go on" in await cli("halt", "sms", "--reason", "wrong [price]")
    assert await cli.json("halt", "sms", "--reason", "another") == {"channel": "sms", "changed": False}
    shown = await cli("stations")
    assert "sms is halted since" in shown
    assert "wrong [price]  `tidings resume sms` lets it go on" in shown
    (halt,) = (await cli.json("stations"))["halts"]
    assert (halt["channel"], halt["reason"]) == ("sms", "wrong [price]")
    assert await cli.json("resume", "sms") == {"channel": "sms", "changed": True}
    assert await cli("resume", "sms") == "sms was not halted.\n"
    assert "halted" not in await cli("stations", "--all")
    await cli("halt", "fax", "--reason", "no such channel", code=Exit.REFUSED)
    await cli("halt", "sms", "--reason", " ", code=Exit.REFUSED)
    await cli("halt", "sms", code=Exit.USAGE)


async def test_stations_show_how_providers_fare(cli: Cli) -> None:
    told = [Wellbeing("sendgrid", 2, 0.05, 0.9, 100.0), Wellbeing("smtp", 0, 0.95, 0.0, 0.0)]
    await Wellbeings(cli.door.store).tell(Channel.EMAIL, "host-1", told)
    rows = [line.split() for line in (await cli("stations")).splitlines()]
    assert ["email", "sendgrid", "host-1", "open", "5%", "90%", "100/s"] in rows
    assert ["email", "smtp", "host-1", "closed", "95%", "0%", "none"] in rows
    assert (await cli.json("stations"))["overload"] == "normal"


async def test_both_clients_work_on_letters(cli: Cli) -> None:
    door = cli.door
    first, second, third = await bury(cli, dead(), dead(), dead())

    def blocking() -> None:
        with tidings.Client(door.target, door.key) as client:
            assert [x.key for x in client.dead_letters(channels=["sms"], limit=2)] == [first, second]
            assert [x.fate for x in client.replay_dead_letters(keys=[first])] == ["replayed"]
            assert client.halt_channel("push", "certificate") is True
            with pytest.raises(tidings.InvalidRequest, match="error_classes"):
                client.dead_letters(error_classes=["bad"])  # type: ignore[list-item]

    await asyncio.to_thread(blocking)
    async with tidings.AsyncClient(door.target, door.key) as client:
        assert [x.key async for x in client.dead_letters(error_classes=["temporary"])] == [second, third]
        assert [x.fate async for x in client.replay_dead_letters(keys=[second], per_second=1000)] == ["replayed"]
        assert [x.dropped async for x in client.drop_dead_letters(limit=1)] == [True]
        assert [x.key async for x in client.dead_letters()] == []
        assert [(halt.channel, halt.reason) for halt in (await client.stations()).halts] == [("push", "certificate")]
        assert await client.resume_channel("push") is True
        with pytest.raises(tidings.InvalidRequest, match="per_second"):
            client.replay_dead_letters(per_second=-1)
    async with tidings.AsyncClient(door.target, "tk_wrong") as client:
        with pytest.raises(tidings.Unauthenticated):
            [x async for x in client.dead_letters()]


async def test_who_stops_reading_leaves_the_rest(cli: Cli) -> None:
    await bury(cli, *(dead() for _ in range(500)))

    def blocking() -> str:
        with tidings.Client(cli.door.target, cli.door.key) as client:
            for result in client.replay_dead_letters(per_second=20):
                return result.fate
        return ""

    assert await asyncio.to_thread(blocking) == "replayed"
    left = await cli.keys("--limit", "0")
    assert len(left) > 400
    assert await cli.keys("--limit", "0") == left


@pytest.mark.parametrize(
    "words", [["dead", name] for name in ("list", "show", "replay", "drop", "export")] + [["halt"], ["resume"]], ids=" ".join
)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"], env=PLAIN | {"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "--json" in done.stdout
    assert f"tidings {' '.join(words)} " in done.stdout

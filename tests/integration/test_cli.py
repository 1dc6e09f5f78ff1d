"""The command line against a real system: what each command prints, and how it ends."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from tests.running import Up
from tidings import template_files
from tidings.cli import output
from tidings.cli.app import app
from tidings.cli.output import Exit
from tidings.embedded import free_port

EXAMPLES = Path(template_files.__file__).parent / "examples"
PLAIN = {"COLUMNS": "160", "TERM": "dumb", "NO_COLOR": "1"}


class Cli:
    """Runs commands as a person would who has set TIDINGS_TARGET and TIDINGS_API_KEY."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.environment = PLAIN | {"TIDINGS_TARGET": up.target, "TIDINGS_API_KEY": up.api_key}
        output.stdout.width = output.stderr.width = 160  # whatever the terminal of whoever runs the tests
        note = json.loads((up.folder / "dev.json").read_text())
        self.environment["TIDINGS_DATABASE_URL"] = note["database_url"]

    def __call__(self, *words: str, code: Exit = Exit.OK, **environment: str) -> str:
        """stdout of a command that ends with `code`."""
        done = CliRunner().invoke(app, words, env=self.environment | environment)
        assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
        self.stderr = done.stderr
        return done.stdout

    def json(self, *words: str, code: Exit = Exit.OK, **environment: str) -> Any:
        """The one JSON document that a command prints with --json; nothing else is on stdout."""
        return json.loads(self(*words, "--json", code=code, **environment))


@pytest.fixture
def cli(up: Up) -> Cli:
    return Cli(up)


@pytest.fixture
def name(cli: Cli, tmp_path: Path) -> str:
    """A stored template of this test's own."""
    made = f"cli-{uuid4().hex[:8]}"
    file = tmp_path / f"{made}.toml"
    file.write_text(
        'variables = ["name", "total?"]\n[email.en]\nsubject = "Hello {{ name }}"\ntext = "..."\n'
        '[email.de]\nsubject = "Hallo {{ name }}"\ntext = "..."\n[sms.en]\ntext = "{{ name }}: {{ total | default(0) }}"\n'
    )
    assert cli.json("template", "put", str(file)) == [{"name": made, "version": 1}]
    return made


def test_templates(cli: Cli, name: str, tmp_path: Path) -> None:
    assert re.search(rf"{name} +1 +en +name, total\? +email en, de; sms en", cli("template", "list"))
    (mine,) = [t for t in cli.json("template", "list") if t["name"] == name]
    assert (mine["version"], mine["default_language"]) == (1, "en")
    rendered = cli.json("template", "preview", name, "--channel", "sms", "-d", "name=Ada", "-d", "total:=9.5")
    assert rendered == {"language": "en", "text": "Ada: 9.5"}
    file = str(tmp_path / f"{name}.toml")
    shown = cli("template", "preview", file, "--channel", "email", "--language", "de-AT", "-d", "name=Ada")
    assert "email in de" in shown
    assert "Hallo Ada" in shown


def test_the_examples_are_accepted_and_render(cli: Cli) -> None:
    assert "order_confirmation version" in cli("template", "put", *map(str, sorted(EXAMPLES.glob("*.toml"))))
    data = ["-d", "name=Grete", "-d", "order_id=1", "-d", "total=9", "-d", 'items:=[{"count": 2, "title": "<Tea>"}]']
    rendered = cli.json("template", "preview", "order_confirmation", "--channel", "email", "--language", "de", *data)
    assert "&lt;Tea&gt;" in rendered["html"]
    assert "2 x <Tea>" in rendered["text"]


def test_a_template_that_is_wrong_is_refused_by_field(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('[sms.en]\ntext = "{{ name"\n')
    cli("template", "put", str(file), code=Exit.REFUSED)
    assert "contents[0].text" in cli.stderr
    file.write_text("[sms.en")
    cli("template", "put", str(file), code=Exit.USAGE)
    assert "is not TOML" in cli.stderr


def test_one_notification_and_its_timeline(cli: Cli, name: str) -> None:
    words = ["send", "--template", name, "--email", "ada@example.com", "--channel", "email", "-d", "name=Ada"]
    found = cli.json(*words, "--priority", "high", "--wait")
    assert [d["status"] for d in found["deliveries"]] == ["delivered"]
    shown = cli("status", found["notification_id"])
    assert "email by sendgrid in en: delivered" in shown
    for line in (r"accepted +gateway +\+0 ms", r"sent +sender +sendgrid +\+", r"delivered +provider +sendgrid +\+"):
        assert re.search(line, shown), line
    assert cli.json("status", found["notification_id"], "--watch")["priority"] == "high"
    assert "delivered" in cli("status", found["notification_id"], "--watch")


def test_a_key_given_twice_sends_once(cli: Cli, name: str) -> None:
    words = ["send", "--template", name, "--phone", "+34612345678", "-d", "name=Ada", "--idempotency-key", uuid4().hex]
    first, second = cli.json(*words), cli.json(*words)
    assert second == {"notification_id": first["notification_id"], "duplicate": True}
    assert "sent earlier" in cli(*words)


def test_refusals_name_every_field(cli: Cli, name: str) -> None:
    words = ["send", "--template", name, "--email", "ada@", "--phone", "12"]
    cli(*words, code=Exit.REFUSED)
    for field in ("recipient.email", "recipient.phone", "data.name"):
        assert field in cli.stderr
    error = cli.json(*words, code=Exit.REFUSED)["error"]
    assert (error["kind"], error["code"]) == ("InvalidRequest", "INVALID_ARGUMENT")
    assert {v["reason"] for v in error["violations"]} == {"invalid_email", "invalid_phone", "missing_variable"}
    cli("send", "--email", "ada@example.com", code=Exit.USAGE)
    assert "--template is missing" in cli.stderr
    cli("send", "--template", name, "--email", "a@example.com", "-d", "name", code=Exit.USAGE)
    cli("status", "018f2f6e-7c7e-7d4b-9f0e-3a5b8f1c2d3e", code=Exit.REFUSED)


def test_notifications_from_a_json_file(cli: Cli, name: str, tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    common = {"type": name, "template": name, "data": {"name": "Ada"}, "expires_at": "2090-01-01T00:00:00Z"}
    good = {**common, "recipient": {"phone": "+34612345678", "devices": []}}
    file.write_text(json.dumps([good, {**common, "recipient": {"email": "x"}}]))
    first, second = cli.json("send", "--json-file", str(file), code=Exit.FAILED)
    assert first["error"] is None
    assert second["error"]["violations"][0]["field"].endswith("recipient.email")
    file.write_text(json.dumps(good))
    assert len(cli.json("send", "--json-file", str(file))) == 1
    for text in ("{", "[1]", json.dumps({**good, "expires_at": "soon"})):
        file.write_text(text)
        cli("send", "--json-file", str(file), code=Exit.USAGE)


def test_a_csv_file_is_sent_once_bad_rows_by_their_line(cli: Cli, name: str, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    rows = [f"p{i}@example.com,{'de' if i % 2 else 'en'},Person {i},{i}" for i in range(700)]
    rows[4] = "p4@example.com,en,only three"
    rows[6] = "not-an-address,en,Person,1"
    rows[600] = "p600@example.com,en,,1"  # a required variable is empty
    file.write_text("\n".join(["email,language,name,total:number", *rows]))
    words = ["send", "--csv", str(file), "--template", name, "--channel", "email"]
    first = cli.json(*words, code=Exit.FAILED)
    assert (first["accepted"], first["sent_earlier"], first["stopped"]) == (697, 0, None)
    assert [failure["line"] for failure in first["failed"]] == [6, 8, 602]
    assert first["failed"][1]["error"]["violations"][0]["reason"] == "invalid_email"
    ids = {item["line"]: item["notification_id"] for item in first["notifications"]}
    assert len(set(ids.values())) == 697

    told = cli(*words, code=Exit.FAILED)  # once more: nothing is sent twice
    assert "0 accepted, 697 sent earlier, 3 failed" in told
    assert "line 6: 3 cells, but the first line names 4 columns" in cli.stderr
    assert "line 602: data.name" in cli.stderr

    rows[4], rows[6], rows[600] = (f"fixed{i}@example.com,en,Fixed,1" for i in range(3))
    file.write_text("\n".join(["email,language,name,total:number", *rows]))
    fixed = cli.json(*words)
    assert (fixed["accepted"], fixed["sent_earlier"], fixed["failed"]) == (3, 697, [])
    assert {item["line"]: item["notification_id"] for item in fixed["notifications"] if item["duplicate"]} == ids
    again = cli.json(*words, "--run", "second")
    assert (again["accepted"], again["sent_earlier"]) == (700, 0)


def test_the_example_csv_goes_with_the_example_template(cli: Cli) -> None:
    cli("template", "put", str(EXAMPLES / "order_confirmation.toml"))
    words = ["send", "--csv", str(EXAMPLES / "customers.csv"), "--template", "order_confirmation"]
    assert cli.json(*words, "--run", uuid4().hex)["accepted"] == 3


def test_a_csv_file_that_cannot_be_sent_at_all(cli: Cli, name: str, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    cli("send", "--csv", str(file), "--template", name, code=Exit.USAGE)
    file.write_text("name\nAda\n")
    cli("send", "--csv", str(file), "--template", name, code=Exit.USAGE)
    assert "line 1: no column says where to send" in cli.stderr
    file.write_text("email,name\na@example.com,Ada\n")
    nobody = {"TIDINGS_TARGET": f"127.0.0.1:{free_port()}"}
    told = cli("send", "--csv", str(file), "--template", name, "--api-key", "k", code=Exit.UNAVAILABLE, **nobody)
    assert "Run the same command again" in told


def test_keys_are_made_listed_and_revoked(cli: Cli, name: str) -> None:
    owner = f"reader-{uuid4().hex[:6]}"
    made = cli.json("key", "create", owner, "--scope", "read")
    assert made["key"].startswith("tk_")
    reads = {"TIDINGS_API_KEY": made["key"]}
    cli("template", "list", **reads)
    words = ["send", "--template", name, "--email", "a@example.com", "-d", "name=A"]
    cli(*words, code=Exit.FORBIDDEN, **reads)
    assert "Use a key with that scope" in cli.stderr
    cli(*words, code=Exit.FORBIDDEN, TIDINGS_API_KEY="tk_wrong")
    assert cli.json(*words, code=Exit.FORBIDDEN, TIDINGS_API_KEY="tk_wrong")["error"]["kind"] == "Unauthenticated"
    (listed,) = [key for key in cli.json("key", "list") if key["name"] == owner]
    assert (listed["scopes"], listed["revoked_at"]) == (["read"], None)
    assert made["key"] not in cli("key", "list")
    assert cli.json("key", "revoke", str(listed["id"])) == {"id": listed["id"], "revoked": True}
    cli("key", "revoke", str(listed["id"]), code=Exit.REFUSED)
    cli("key", "create", owner, "--scope", "everything", code=Exit.REFUSED)


def test_stations(cli: Cli) -> None:
    found = cli.json("stations")
    assert {"stream", "group", "depth", "lag", "pending", "waiting"} == found["streams"][0].keys()
    assert "in:critical" in cli("stations", "--all")
    assert re.search(r"dispatcher +\S+ +\d+\.\d s ago", cli("stations"))


def test_migrating_again_changes_nothing(cli: Cli) -> None:
    assert cli.json("migrate") == {"migrated": True}


def test_nobody_there(cli: Cli) -> None:
    nobody = {"TIDINGS_TARGET": f"127.0.0.1:{free_port()}"}
    cli("template", "list", code=Exit.UNAVAILABLE, **nobody)
    assert "tidings up" in cli.stderr


def test_a_folder_with_a_running_system_needs_no_settings(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(up.folder.parent)
    (up.folder.parent / ".tidings").symlink_to(up.folder)
    for command in (["template", "list"], ["key", "list"]):
        done = CliRunner().invoke(app, [*command, "--json"], env=PLAIN)
        assert done.exit_code == 0, done.output
        json.loads(done.stdout)


@pytest.mark.parametrize(
    "words",
    [[], ["up"], ["demo"], ["send"], ["status"], ["stations"], ["migrate"], ["template", "put"], ["key", "create"]],
    ids=" ".join,
)
def test_every_command_has_help(words: list[str]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"], env=PLAIN)
    assert done.exit_code == 0
    assert words == [] or "--json" in done.stdout


def test_waiting_in_vain_shows_where_it_ended(cli: Cli, name: str) -> None:
    # A recipient whom nobody stored has no address: the notification is accepted, and ends there.
    words = ["send", "--template", name, "--recipient", f"nobody-{uuid4().hex[:8]}", "-d", "name=Ada", "--wait"]
    shown = cli(*words, code=Exit.FAILED)
    assert "accepted" in shown
    assert re.search(r"suppressed|failed|expired", shown)

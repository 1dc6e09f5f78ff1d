import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from core.config import child_environment, load_settings, require, split_listen
from core.errors import ConfigError
from core.settings import ApnsSettings, FcmSettings, SendGridSettings, Settings, SmtpSettings, TwilioSettings

NEEDED = {
    "TIDINGS_REDIS_URL": "redis://127.0.0.1:6379/0",
    "TIDINGS_DATABASE_URL": "postgresql://127.0.0.1/tidings",
    "TIDINGS_SECRET_KEY": "0123456789abcdef",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("TIDINGS_", "OTEL_")):
            monkeypatch.delenv(name)


def give(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_reads_variables_nested_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    give(
        monkeypatch,
        NEEDED
        | {
            "TIDINGS_PARTITIONS": "16",
            "TIDINGS_SENDGRID__API_KEY": "SG.x",
            "TIDINGS_SMTP__FROM": "shop@example.com",
            "TIDINGS_EMAIL_PROVIDERS": "smtp, sendgrid",
            "TIDINGS_EMAIL_ROUTES": '{"invoice*": "smtp"}',
            "TIDINGS_RETRY_SCHEDULE_S": "[1, 2.5]",
            "TIDINGS_TWILIO__BASE_URL": "http://127.0.0.1:9/",
        },
    )
    settings = load_settings()
    assert settings.partitions == 16
    assert settings.sendgrid.api_key.get_secret_value() == "SG.x"
    assert settings.smtp.from_ == "shop@example.com"
    assert settings.email_providers == ("smtp", "sendgrid")
    assert settings.email_routes == {"invoice*": "smtp"}
    assert list(settings.retry_schedule_s) == [1, 2.5]
    assert settings.twilio.base_url == "http://127.0.0.1:9"


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_names_what_is_missing_and_an_example(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    give(monkeypatch, {name: value for name, value in NEEDED.items() if name != missing})
    with pytest.raises(ConfigError, match=rf"^{missing} is not set.*Expected: ") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    assert load_settings(partial=True).partitions == 4


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TIDINGS_PARTITIONS", "5000", "1024"),
        ("TIDINGS_PARTITIONS", "many", "integer"),
        ("TIDINGS_GRPC_LISTEN", "50051", "host:port"),
        ("TIDINGS_GRPC_LISTEN", "localhost:99999", "host:port"),
        ("TIDINGS_EMAIL_PROVIDERS", "sendmail", "sendgrid, smtp"),
        ("TIDINGS_EMAIL_PROVIDERS", "[", "sendgrid, smtp"),
        ("TIDINGS_EMAIL_ROUTES", "invoice=smtp", "is not JSON"),
        ("TIDINGS_RETRY_SCHEDULE_S", "60,-1", "greater than 0"),
        ("TIDINGS_FCM__BASE_URL", "fcm.example", "https://"),
        ("TIDINGS_SENDGRID__BATCH_MAX", "1001", "1 to 1000"),
        ("TIDINGS_SENDGRID__TYPO", "1", "No setting has this name"),
        ("TIDINGS_LOG_LEVEL", "LOUD", "WARNING"),
        ("OTEL_SDK_DISABLED", "perhaps", "turns tracing off"),
    ],
)
def test_an_error_names_variable_and_remedy(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    give(monkeypatch, NEEDED | {variable: value})
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{variable} ")
    assert said in str(caught.value)


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, NEEDED | {"TIDINGS_PARTITIONS": "0", "TIDINGS_POISON_LIMIT": "0"})
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert {line.split()[0] for line in str(caught.value).splitlines()} == {"TIDINGS_PARTITIONS", "TIDINGS_POISON_LIMIT"}


def test_half_of_a_certificate_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, NEEDED | {"TIDINGS_TLS_CERT": "/cert.pem"})
    with pytest.raises(ConfigError, match="tls_cert and tls_key belong together"):
        load_settings()
    with pytest.raises(ValidationError, match="tls_client_ca needs"):
        Settings(tls_client_ca=Path("/ca.pem"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tidings.toml", 'partitions = 7\npoison_limit = 9\nemail_providers = ["smtp"]\n[smtp]\nhost = "m"\n'),
        (
            "tidings.env",
            "TIDINGS_PARTITIONS=7\nTIDINGS_POISON_LIMIT=9\nTIDINGS_EMAIL_PROVIDERS=smtp\nTIDINGS_SMTP__HOST=m\n",
        ),
    ],
)
def test_a_variable_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    give(monkeypatch, NEEDED | {"TIDINGS_CONFIG": str(tmp_path / name), "TIDINGS_PARTITIONS": "8"})
    settings = load_settings()
    assert (settings.partitions, settings.poison_limit, settings.smtp.host) == (8, 9, "m")
    assert settings.email_providers == ("smtp",)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "partitons = 7\n", "TIDINGS_PARTITONS extra inputs are not permitted"),
        ("a.toml", "partitions =", "is not TOML"),
        ("a.env", "TIDINGS_PARTITONS=7\n", "TIDINGS_PARTITONS extra inputs are not permitted"),
    ],
)
def test_a_wrong_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    give(monkeypatch, {"TIDINGS_CONFIG": str(tmp_path / name)})
    with pytest.raises(ConfigError, match=said):
        load_settings(partial=True)


def test_a_missing_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDINGS_CONFIG", "/nowhere/tidings.toml")
    with pytest.raises(ConfigError, match=r"TIDINGS_CONFIG: there is no file '/nowhere/tidings.toml'"):
        load_settings(partial=True)


def test_secrets_never_print(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hush-hush-hush-hush"
    give(
        monkeypatch,
        {
            "TIDINGS_REDIS_URL": f"redis://:{secret}@127.0.0.1",
            "TIDINGS_DATABASE_URL": f"postgresql://a:{secret}@127.0.0.1/b",
            "TIDINGS_SECRET_KEY": secret,
            "TIDINGS_SENDGRID__API_KEY": secret,
            "TIDINGS_TWILIO__AUTH_TOKEN": secret,
            "TIDINGS_SMTP__PASSWORD": secret,
        },
    )
    settings = load_settings()
    assert secret not in f"{settings!r} {settings}"
    monkeypatch.delenv("TIDINGS_SENDGRID__API_KEY")
    monkeypatch.setenv("TIDINGS_SENDGRID", f'{{"api_key": ["{secret}"]}}')
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert secret not in f"{caught.value} {caught.value.__cause__}"


def test_a_child_sees_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("poison_limit = 9\n")
    monkeypatch.setenv("TIDINGS_CONFIG", str(tmp_path / "a.toml"))
    monkeypatch.setenv("TIDINGS_PARTITIONS", "7")
    given = load_settings(partial=True)
    stated = given.model_copy(
        update={
            "partitions": 2,
            "allow_pure": True,
            "secret_key": SecretStr("0123456789abcdef"),
            "email_routes": {"invoice*": "smtp"},
            "email_from": '"Shop" <a@b.example>',
            "retry_schedule_s": (1.0, 2.0),
            "tls_cert": tmp_path / "cert",
            "tls_key": tmp_path / "key",
            "smtp": SmtpSettings(host="mail", password=SecretStr("p"), from_="b@c.example", starttls=False),
        }
    )
    environment = child_environment(stated)
    for name in ("TIDINGS_CONFIG", "TIDINGS_PARTITIONS"):
        monkeypatch.delenv(name)
    give(monkeypatch, {name: value for name, value in environment.items() if name.startswith("TIDINGS_")})
    seen = load_settings(partial=True)
    assert seen.model_dump() == stated.model_dump()
    assert environment["PATH"] == os.environ["PATH"]


def test_require_accepts_what_is_complete() -> None:
    require(Settings(redis_url="redis://a", database_url="postgresql://b", secret_key=SecretStr("0123456789abcdef")))


@pytest.mark.parametrize(
    ("listen", "expected"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("host:65535", ("host", 65535))]
)
def test_split_listen(listen: str, expected: tuple[str, int]) -> None:
    assert split_listen(listen) == expected


def test_every_setting_is_described() -> None:
    groups = (SendGridSettings, SmtpSettings, TwilioSettings, FcmSettings, ApnsSettings)
    fields = [(name, field) for model in (Settings, *groups) for name, field in model.model_fields.items()]
    assert {name for name, field in fields if not field.description} == {"sendgrid", "smtp", "twilio", "fcm", "apns"}


def test_limits_are_a_table_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDINGS_LIMITS", '{"sendgrid": {"per_s": 100, "reserve": 20}}')
    monkeypatch.setenv("TIDINGS_PROVIDER_WEIGHTS", '{"smtp": 0}')
    settings = load_settings(partial=True)
    assert (settings.limits["sendgrid"].per_s, settings.provider_weights) == (100.0, {"smtp": 0.0})
    monkeypatch.setenv("TIDINGS_LIMITS", '{"sendgrid": {"per_s": -1}}')
    with pytest.raises(ConfigError, match="rates of providers' accounts"):
        load_settings(partial=True)


def test_an_examples_secret_is_no_secret() -> None:
    example = Settings(
        redis_url="redis://a", database_url="postgresql://b", secret_key=SecretStr("change-me-to-48-random-characters")
    )
    with pytest.raises(ConfigError, match="TIDINGS_SECRET_KEY"):
        require(example)

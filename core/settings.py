"""What an operator may set: `Settings`, plain frozen values; no I/O, no environment (core/config.py reads that).

The words under each field are its documentation and, in an error, the remedy.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import orjson
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from core.ids import MAX_PARTITIONS

EmailProvider = Literal["sendgrid", "smtp", "discard"]
ProviderName = Literal["sendgrid", "smtp", "twilio", "fcm", "apns"]


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of "host:port" ("[::1]:80" for IPv6).

    Raises:
        ValueError: not of this form.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("should be host:port, e.g. 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _listen(value: str) -> str:
    split_listen(value)
    return value


def _listed(value: object) -> object:
    """Lists may be written as JSON or, in a variable, with commas."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    return orjson.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]


def _url(value: str) -> str:
    if value and "://" not in value:
        raise ValueError("should be an address with its scheme, e.g. https://api.example.com")
    return value.rstrip("/")


Listen = Annotated[str, BeforeValidator(_listen)]
Url = Annotated[str, BeforeValidator(_url)]
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
Share = Annotated[float, Field(gt=0, le=1)]
EmailProviders = Annotated[tuple[EmailProvider, ...], NoDecode, BeforeValidator(_listed), Field(min_length=1)]
Schedule = Annotated[tuple[Seconds, ...], NoDecode, BeforeValidator(_listed)]
NO_SECRET = SecretStr("")

_MODEL = ConfigDict(
    frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True, populate_by_name=True
)


class SendGridSettings(BaseModel):
    """E-mail by SendGrid."""

    model_config = _MODEL

    api_key: SecretStr = NO_SECRET
    """the API key, SG...."""
    base_url: Url = "https://api.sendgrid.com"
    """where its API is"""
    webhook_public_key: str = ""
    """the Event Webhook's verification key (base64, as SendGrid shows it); without it events are refused"""
    batch_max: int = Field(default=1000, ge=1, le=1000)
    """how many e-mails go in one call: 1 to 1000"""
    batch_wait_ms: int = Field(default=20, ge=0, le=60_000)
    """how long a call waits for more e-mails, milliseconds"""


class SmtpSettings(BaseModel):
    """E-mail by a mail server."""

    model_config = _MODEL

    host: str = ""
    """the mail server"""
    port: int = Field(default=587, ge=1, le=65535)
    """the mail server's port, 1 to 65535"""
    username: str = ""
    """user name; empty sends without a login"""
    password: SecretStr = NO_SECRET
    """password"""
    starttls: bool = True
    """true or false: encrypt by STARTTLS; turn it off only towards a server on this machine"""
    from_: str = Field(default="", alias="from")
    """sender address if it is not TIDINGS_EMAIL_FROM"""


class TwilioSettings(BaseModel):
    """SMS by Twilio."""

    model_config = _MODEL

    account_sid: str = ""
    """account SID, AC..."""
    auth_token: SecretStr = NO_SECRET
    """auth token; also verifies status callbacks"""
    from_number: str = ""
    """sending number in E.164, e.g. +15005550006"""
    base_url: Url = "https://api.twilio.com"
    """where its API is"""


class FcmSettings(BaseModel):
    """Push by Firebase Cloud Messaging."""

    model_config = _MODEL

    project_id: str = ""
    """Firebase project"""
    credentials_file: Path | None = None
    """the service account's JSON file"""
    base_url: Url = "https://fcm.googleapis.com"
    """where its API is; tokens come from the service account's token_uri"""


class ApnsSettings(BaseModel):
    """Push by Apple Push Notification service."""

    model_config = _MODEL

    key_file: Path | None = None
    """the signing key, a .p8 file"""
    key_id: str = ""
    """its key id"""
    team_id: str = ""
    """the developer team"""
    topic: str = ""
    """the app's bundle id"""
    base_url: Url = "https://api.push.apple.com"
    """where its API is"""
    ca_file: Path | None = None
    """certificate authority to trust in place of the usual ones"""


class LimitSettings(BaseModel):
    """What a provider's account may be sent, by all senders together."""

    model_config = _MODEL

    per_s: float = Field(gt=0, le=1_000_000)
    """messages a second, more than 0"""
    burst: int = Field(default=0, ge=0, le=1_000_000)
    """messages at most at once after a quiet time; 0 is as many as one second's"""
    reserve: int = Field(default=0, ge=0, le=1_000_000)
    """how many of burst are kept for critical notifications"""


class RoutingRule(BaseModel):
    """Which channels suit which notifications; an empty list matches any."""

    model_config = _MODEL

    name: str = Field(min_length=1, max_length=64)
    """what timelines call the rule"""
    types: tuple[str, ...] = ()
    """notification types (exact, or a prefix that ends in *)"""
    priorities: tuple[Literal["critical", "high", "medium", "low"], ...] = ()
    """priorities: critical, high, medium, low"""
    classes: tuple[Literal["transactional", "promotional", "alert"], ...] = ()
    """classes: transactional, promotional, alert"""
    channels: tuple[Literal["email", "sms", "push", "in_app"], ...] = Field(min_length=1)
    """channels in order of preference: email, sms, push, in_app"""
    mode: Literal["first", "all"] = "first"
    """first takes the first channel that the recipient has an address for, all takes every one"""


class Settings(BaseModel):
    """All settings. Built from keywords it reads nothing; see `load_settings` for the environment."""

    model_config = _MODEL

    redis_url: str = Field(default="", repr=False)
    """where Redis (7.0) or Valkey (7.2) or later is, e.g. redis://127.0.0.1:6379/0"""
    database_url: str = Field(default="", repr=False)
    """where PostgreSQL is, e.g. postgresql://user:password@127.0.0.1:5432/tidings"""
    secret_key: SecretStr = NO_SECRET
    """the key that signs links and receipts: at least 16 random characters, the same for all processes"""
    partitions: int = Field(default=4, ge=1, le=MAX_PARTITIONS)
    """how many partitions the streams have, 1 to 1024: the same for all processes; changed only while the streams are empty"""
    grpc_listen: Listen = "127.0.0.1:50051"
    """host:port of the gRPC gateway; port 0 takes a free one"""
    web_listen: Listen = "127.0.0.1:8080"
    """host:port of webhooks and pages; port 0 takes a free one"""
    web_public_url: Url = "http://127.0.0.1:8080"
    """the address under which others reach web_listen (links, webhooks), e.g. https://tidings.example.com"""
    metrics_listen: Listen = "127.0.0.1:0"
    """host:port of this process's Prometheus metrics; port 0 turns them off"""
    tls_cert: Path | None = None
    """certificate chain (PEM) of the gateway's doors; give tls_key too"""
    tls_key: Path | None = None
    """private key (PEM) of tls_cert"""
    tls_client_ca: Path | None = None
    """certificate authority (PEM): callers must show a certificate of it"""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """least level that is logged: DEBUG, INFO, WARNING or ERROR"""
    allow_pure: bool = False
    """true or false: start although the native modules are not built (slow)"""
    poison_limit: int = Field(default=3, ge=1, le=100)
    """how often an entry may be handed to consumers that crash before it is set apart, 1 to 100"""
    critical_fsync: bool = False
    """true or false: answer critical notifications only once they are on Redis' disk (needs 7.2 and appendonly yes)"""
    critical_replicas: int = Field(default=0, ge=0, le=16)
    """answer critical notifications only once so many Redis replicas have them"""
    overload_depth: int = Field(default=200_000, ge=100)
    """unread entries on the way to providers that count as full"""
    shed_low_at: Share = 0.70
    """share of Redis' maxmemory or of overload_depth at which low priority is suppressed (rule overload)"""
    shed_medium_at: Share = 0.80
    """share at which medium priority is suppressed too"""
    refuse_at: Share = 0.90
    """share at which all but critical is refused with RESOURCE_EXHAUSTED"""
    email_providers: EmailProviders = ("sendgrid",)
    """who share the e-mails by provider_weights and stand in for each other: sendgrid, smtp; or discard alone: sends nothing"""
    email_from: str = ""
    """sender address of e-mails, e.g. Shop <news@shop.example>"""
    email_routes: dict[str, EmailProvider] = {}
    """provider by notification type (exact, or a prefix that ends in *), as JSON: {"invoice*": "smtp"}"""
    provider_weights: dict[ProviderName, Annotated[float, Field(ge=0, le=1000)]] = {}
    """shares of a channel's providers, as JSON: {"sendgrid": 3, "smtp": 1}; 1 unless it is here, 0 only while no other can"""
    provider_costs: dict[ProviderName, Annotated[float, Field(ge=0)]] = {}
    """what a message costs at a provider, as JSON: {"sendgrid": 0.4, "smtp": 0.1}; low priority goes by the cheapest"""
    limits: dict[ProviderName, LimitSettings] = {}
    """rates of providers' accounts, as JSON: {"sendgrid": {"per_s": 100, "burst": 200, "reserve": 20}}; none is no limit"""
    dead_letter_limit: int = Field(default=100, ge=0, le=1_000_000)
    """dead letters of a channel within a minute, in one process, above which the channel is halted; 0 never halts it"""
    routing_rules: tuple[RoutingRule, ...] = ()
    """rules before the default ones, as JSON: [{"name": "codes", "types": ["login.*"], "channels": ["sms", "email"]}]"""
    retry_schedule_s: Schedule = (60, 300, 900)
    """seconds before each further attempt, e.g. 60,300,900"""
    critical_retry_schedule_s: Schedule = (1, 5, 15, 60)
    """seconds before each further attempt of a critical notification, e.g. 1,5,15"""
    sendgrid: SendGridSettings = SendGridSettings()
    smtp: SmtpSettings = SmtpSettings()
    twilio: TwilioSettings = TwilioSettings()
    fcm: FcmSettings = FcmSettings()
    apns: ApnsSettings = ApnsSettings()
    otlp_endpoint: str = Field(
        default="", validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    """where traces go; empty turns tracing off. The exporter reads this and every other OTEL_* variable by itself"""
    otlp_protocol: Literal["grpc", "http/protobuf"] = Field(
        default="grpc", validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    )
    """how traces go there: grpc or http/protobuf"""
    otel_sdk_disabled: bool = Field(default=False, validation_alias="OTEL_SDK_DISABLED")
    """true or false: true turns tracing off"""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: set both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key")
        if not self.shed_low_at <= self.shed_medium_at <= self.refuse_at:
            raise ValueError("shed_low_at, shed_medium_at and refuse_at must not fall in this order")
        return self


class ClientSettings(BaseModel):
    """What a caller may set: the client and the command line read it, no station does."""

    model_config = _MODEL

    target: str = ""
    """the gateway, host:port"""
    api_key: SecretStr = NO_SECRET
    """the API key, made with tidings key create"""
    ca_file: Path | None = None
    """certificate authority (PEM) of the gateway's certificate; turns TLS on"""

"""Where the gateway is and how a connection to it is opened; what the blocking and the asyncio client share of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from core.errors import ConfigError
from tidings.v1.admin_pb2_grpc import AdminServiceStub
from tidings.v1.inbox_pb2_grpc import InboxServiceStub
from tidings.v1.notifications_pb2_grpc import NotificationsServiceStub
from tidings.v1.recipients_pb2_grpc import RecipientsServiceStub
from tidings.v1.templates_pb2_grpc import TemplatesServiceStub

DEFAULT_TARGET = "127.0.0.1:50051"
LOCAL = Path(".tidings", "dev.json")  # what `tidings up` notes of a running system, beside its data

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.enable_retries", 0),  # ours know the idempotency keys and the server's RetryInfo
    ("grpc.lb_policy_name", "round_robin"),  # several gateways behind one DNS name share the load
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 60_000),  # a connection that a firewall forgot is noticed
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
]


@dataclass(frozen=True, slots=True)
class Stubs:
    """The generated stubs over one channel."""

    notifications: NotificationsServiceStub
    templates: TemplatesServiceStub
    recipients: RecipientsServiceStub
    inbox: InboxServiceStub
    admin: AdminServiceStub


def stubs_over(channel: Any) -> Stubs:
    """All services over a grpc.Channel, or over a grpc.aio.Channel, which makes calls to be awaited."""
    return Stubs(
        NotificationsServiceStub(channel),
        TemplatesServiceStub(channel),
        RecipientsServiceStub(channel),
        InboxServiceStub(channel),
        AdminServiceStub(channel),
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS: authorities to trust (None: the system's), and a certificate of one's own for mutual TLS. PEM files."""

    ca: Path | str | None = None
    certificate: Path | str | None = None
    key: Path | str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """As gRPC takes them."""
        ca, key, certificate = (Path(file).read_bytes() if file else None for file in (self.ca, self.key, self.certificate))
        return grpc.ssl_channel_credentials(ca, key, certificate)


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where to call, with what."""

    target: str
    api_key: str
    tls: Tls | None

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()


def find_gateway(target: str | None, api_key: str | None, tls: Tls | bool | None) -> Gateway:
    """The gateway to call. What is not given comes from TIDINGS_TARGET, TIDINGS_API_KEY and TIDINGS_CA_FILE, then (both)
    from the `tidings up` that runs in this folder.

    Raises:
        ConfigError: a variable or the file of `tidings up` makes no sense.
    """
    if target is None or api_key is None or tls is None:
        from core.config import load_client_settings  # noqa: PLC0415 - the settings' machinery is not needed otherwise

        settings = load_client_settings()
        target, api_key = target or settings.target or None, api_key or settings.api_key.get_secret_value() or None
        tls = Tls(settings.ca_file) if tls is None and settings.ca_file else tls
    if target is None:
        local = local_system()
        target, api_key = local.get("target"), api_key or local.get("api_key")
    return Gateway(target or DEFAULT_TARGET, api_key or "", Tls() if tls is True else tls or None)


def local_system(file: Path = LOCAL) -> dict[str, Any]:
    """What the `tidings up` of this folder noted: target, api_key, addresses; empty if none runs here.

    A note that leads off this machine is not of `tidings up`, and would lead an API key off it: it is ignored.
    """
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read ({error}): stop `tidings up`, remove the file and start it again") from error
    here = isinstance(found, dict) and str(found.get("target", "")).startswith("127.0.0.1:")
    return found if here else {}

"""Which processes a local system has, with which settings and ports. Pure: values in, plans out.

Everything is handed to the stations by environment, exactly as an operator would: none of them knows that it is supervised.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from core.errors import ConfigError
from core.settings import Settings, split_listen
from tidings.embedded import HOST
from tidings.up.processes import Plan

CHANNELS = ("email", "sms", "push", "in_app")
# (name, arguments of python -m); also the order in which they stop, see STOP_ORDER.
STATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gateway", ("gateway",)),
    ("dispatcher", ("dispatcher",)),
    *((f"sender-{channel}", ("senders", channel)) for channel in CHANNELS),
    ("ledger", ("ledger",)),
)
SANDBOX_PORT = 8090
METRICS_PORT = 9101  # of the gateway; the others follow, in the order above
EMAIL_FROM = "Tidings <tidings@example.com>"
EMAIL_ROUTES = {"invoice*": "smtp"}  # so that both e-mail providers have something to do

# Forward along the path: nobody drains into somebody who is gone.
STOP_ORDER: tuple[tuple[str, ...], ...] = (
    ("gateway",),
    ("dispatcher",),
    tuple(f"sender-{channel}" for channel in CHANNELS),
    ("ledger",),
    ("sandbox",),
    ("postgresql",),
    ("valkey",),
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything of a local system listens: on loopback, but for the two doors that the operator may open wider."""

    grpc_host: str
    web_host: str
    grpc: int
    web: int
    sandbox: int
    apns: int
    smtp: int
    metrics: Mapping[str, int]  # by station

    @property
    def target(self) -> str:
        """The gateway, for a client on this machine."""
        return f"{HOST}:{self.grpc}"

    @property
    def web_url(self) -> str:
        """Webhooks and pages."""
        return f"http://{HOST}:{self.web}"

    @property
    def sandbox_url(self) -> str:
        """The sandbox's page."""
        return f"http://{HOST}:{self.sandbox}"

    def metrics_url(self, station: str) -> str:
        """Where Prometheus reads a station."""
        return f"http://{HOST}:{self.metrics[station]}/metrics"


def choose_ports(settings: Settings, pick: Callable[[int], int], *, fixed: bool) -> Ports:
    """Ports for a system.

    Args:
        pick: the port given if it is free, else a free one; 0 asks for any.
        fixed: the usual ports where they are free (`up`); False takes any (`demo`, which may run beside `up`).
    """
    grpc_host, grpc_port = split_listen(settings.grpc_listen)
    web_host, web_port = split_listen(settings.web_listen)
    wanted = [grpc_port, web_port, SANDBOX_PORT, *(METRICS_PORT + i for i in range(len(STATIONS)))]
    grpc, web, sandbox, *metrics = [pick(port if fixed else 0) for port in wanted]
    names = [name for name, _ in STATIONS]
    return Ports(grpc_host, web_host, grpc, web, sandbox, pick(0), pick(0), dict(zip(names, metrics, strict=True)))


def local_settings(
    given: Settings, ports: Ports, *, redis_url: str, database_url: str, secret_key: str, sandbox: bool
) -> Settings:
    """What all stations of a local system have in common: what the operator set, and the rest filled in.

    Raises:
        ConfigError: TLS is asked for: names in certificates do not fit a development machine.
    """
    if given.tls_cert is not None:
        raise ConfigError("`tidings up` speaks plain text on this machine: unset TIDINGS_TLS_CERT and TIDINGS_TLS_KEY")
    return given.model_copy(
        update={
            "redis_url": redis_url,
            "database_url": database_url,
            "secret_key": given.secret_key if given.secret_key.get_secret_value() else SecretStr(secret_key),
            "grpc_listen": f"{ports.grpc_host}:{ports.grpc}",
            "web_listen": f"{ports.web_host}:{ports.web}",
            "web_public_url": given.web_public_url if "web_public_url" in given.model_fields_set else ports.web_url,
            "email_from": given.email_from or EMAIL_FROM,
            "email_routes": given.email_routes or (EMAIL_ROUTES if sandbox else {}),
        }
    )


def python_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`environment`; where Python may not write bytecode beside the sources it goes to `folder`, so that starts stay quick."""
    if not environment.get("PYTHONDONTWRITEBYTECODE") or environment.get("PYTHONPYCACHEPREFIX"):
        return dict(environment)
    return {**environment, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def sandbox_plan(folder: Path, ports: Ports, environment: Mapping[str, str], port_file: Path) -> Plan:
    """The provider sandbox; it writes `port_file` once every door is open."""
    numbers = [("--port", ports.sandbox), ("--apns-port", ports.apns), ("--smtp-port", ports.smtp)]
    flags = [word for flag, port in numbers for word in (flag, str(port))]
    command = [sys.executable, "-m", "tidings.sandbox", "--data", str(folder), "--host", HOST, *flags]
    return Plan("sandbox", [*command, "--web-url", ports.web_url, "--port-file", str(port_file)], environment)


def station_plans(ports: Ports, environment: Mapping[str, str]) -> list[Plan]:
    """Every station; each with metrics of its own."""
    return [
        Plan(
            name,
            [sys.executable, "-m", *arguments],
            {**environment, "TIDINGS_METRICS_LISTEN": f"{HOST}:{ports.metrics[name]}"},
        )
        for name, arguments in STATIONS
    ]

"""The gRPC server: puts the services together behind the door, listens, and drains in order.

Shutdown order: 1. health says NOT_SERVING, and the caller's balancers get a moment to notice; 2. streams end with UNAVAILABLE
(connect again); 3. no new calls; 4. those under way finish, for at most DRAIN_S.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from core import tasks
from core.errors import ConfigError
from core.settings import Settings
from gateway.auth import Auth
from gateway.door import Door
from gateway.drain import Drain
from gateway.vitals import SERVICES, Vitals

log = logging.getLogger("tidings.gateway")

NOTICE_S = 0.2  # between NOT_SERVING and closing the door
DRAIN_S = 15.0
MESSAGE_BYTES = 16 * 1024 * 1024  # of one request: a batch of 1,000 with 16 KB each

OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a second server on the same port is an error, not a silent share
    ("grpc.keepalive_time_ms", 60_000),  # finds out that a watcher's machine is gone
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class _Methods:
    """A server as the services add themselves to it: they are found by name, and not registered.

    For each registered method grpc.aio keeps a future, and for each call it waits for all of them anew.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service_name: str, method_handlers: object) -> None:
        """Leaves it at the generic handlers, which name the same methods."""


class GrpcServer:
    """Listens from the moment it is made, answers while `run` runs.

    Args:
        settings: where to listen, certificates.
        auth: who may call.
        services: each adds itself to a server (add_XServicer_to_server with the servicer bound).
        vitals: makes the vitals of this process from the health servicer.
        drain: told when this server begins to stop.

    Raises:
        ConfigError: the address is taken, or a certificate cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        auth: Auth,
        services: Sequence[Callable[[grpc.aio.Server], None]],
        *,
        vitals: Callable[[health.HealthServicer], Vitals],
        drain: Drain,
    ) -> None:
        self._drain = drain
        self._stopping = asyncio.Event()
        self._server = grpc.aio.server(interceptors=[Door(auth)], options=OPTIONS)
        servicer = health.HealthServicer()
        self._vitals = vitals(servicer)
        methods = cast(grpc.aio.Server, _Methods(self._server))
        health_pb2_grpc.add_HealthServicer_to_server(servicer, methods)
        for add in services:
            add(methods)
        reflection.enable_server_reflection((*SERVICES, _HEALTH, reflection.SERVICE_NAME), self._server)
        self.port = self._listen(settings)

    def _listen(self, settings: Settings) -> int:
        credentials = _credentials(settings)
        try:
            if credentials is None:
                return self._server.add_insecure_port(settings.grpc_listen)
            return self._server.add_secure_port(settings.grpc_listen, credentials)
        except RuntimeError as error:
            raise ConfigError(f"TIDINGS_GRPC_LISTEN: cannot listen at {settings.grpc_listen}: {error}") from error

    async def run(self) -> None:
        """Answers calls until `stop` is called and those under way are done."""
        await self._server.start()
        log.info("gRPC listens on port %d", self.port)
        watch = asyncio.create_task(self._vitals.run())
        try:
            await self._stopping.wait()
        finally:
            await tasks.end(watch)
            await self._vitals.leave()
            await asyncio.sleep(NOTICE_S)
            self._drain.begin()
            await self._server.stop(DRAIN_S)

    def stop(self) -> None:
        """Begins the drain."""
        self._stopping.set()


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    pair = (_read(settings.tls_key, "TIDINGS_TLS_KEY"), _read(settings.tls_cert, "TIDINGS_TLS_CERT"))
    if settings.tls_client_ca is None:
        return grpc.ssl_server_credentials([pair])
    authority = _read(settings.tls_client_ca, "TIDINGS_TLS_CLIENT_CA")
    return grpc.ssl_server_credentials([pair], root_certificates=authority, require_client_auth=True)


def _read(path: Path, variable: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{variable}: cannot read {str(path)!r}: {error.strerror}") from error

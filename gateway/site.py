"""The web server of the gateway's process: puts the web application on its address, and drains it."""

import asyncio
import logging
import ssl

from aiohttp import web

from core.errors import ConfigError
from core.settings import Settings, split_listen

log = logging.getLogger("tidings.gateway")

DRAIN_S = 10.0  # requests under way get this long


class WebSite:
    """Listens from `open` on, until `run` returns. `port` is where."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self._stopping = asyncio.Event()
        self.port = port

    @classmethod
    async def open(cls, settings: Settings, app: web.Application) -> "WebSite":
        """Begins to listen.

        Raises:
            ConfigError: the address is taken, or the certificate cannot be used.
        """
        host, port = split_listen(settings.web_listen)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=_tls(settings)).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(f"TIDINGS_WEB_LISTEN: cannot listen at {settings.web_listen}: {error.strerror}") from error
        return cls(runner, runner.addresses[0][1])

    async def run(self) -> None:
        """Answers requests until `stop` is called and those under way are done."""
        log.info("web listens on port %d", self.port)
        try:
            await self._stopping.wait()
        finally:
            await self._runner.cleanup()

    def stop(self) -> None:
        """Begins the drain."""
        self._stopping.set()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """Certificates are the gRPC door's; webhooks' senders have none of their own, so none is asked for."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"TIDINGS_TLS_CERT, TIDINGS_TLS_KEY: cannot be used: {error}") from error
    return context

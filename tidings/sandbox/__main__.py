"""`python -m tidings.sandbox`: runs the provider sandbox until SIGINT or SIGTERM.

Prints one line of JSON once every door is open, and writes the same to --port-file: {"url", "environment", "ports"}.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tidings.sandbox.server import Plan, Running, start


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    about = "Simulators of SendGrid, Twilio, FCM, APNs and SMTP."
    parser = argparse.ArgumentParser(prog="python -m tidings.sandbox", description=about)
    parser.add_argument("--data", type=Path, required=True, help="folder for credentials; made if missing")
    parser.add_argument("--port-file", type=Path, help="write the line of JSON here too, once every door is open")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="SendGrid, Twilio, FCM and the page; 0 takes a free one")
    parser.add_argument("--apns-port", type=int, default=0, help="APNs; 0 takes a free one")
    parser.add_argument("--smtp-port", type=int, default=0, help="SMTP; 0 takes a free one")
    parser.add_argument("--smtp-login", action="store_true", help="demand a login from SMTP clients")
    parser.add_argument("--web-url", default="", help="where tidings' web gateway is; SendGrid's events go there")
    return parser.parse_args(arguments)


def describe(running: Running) -> str:
    """The line of JSON."""
    ends = running.endpoints
    return json.dumps(
        {
            "url": ends.url,
            "ports": {"http": ends.port, "apns": ends.apns_port, "smtp": ends.smtp_port},
            "environment": running.environment,
        }
    )


def write_port_file(path: Path, line: str) -> None:
    """Whole or not at all; readable by its owner alone, as it holds secrets."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(line + "\n")
    beside.replace(path)


async def run(plan: Plan, port_file: Path | None) -> None:
    """Run until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = await start(plan)
    try:
        line = describe(running)
        if port_file:
            write_port_file(port_file, line)
        with contextlib.suppress(BrokenPipeError):  # whoever started it need not read
            print(line, flush=True)
        await stop.wait()
    finally:
        await running.stop()


def main() -> int:
    """Exit code 0 after a signal, 1 if a door cannot be opened."""
    given = parse()
    plan = Plan(given.data, given.host, given.port, given.apns_port, given.smtp_port, given.smtp_login, given.web_url)
    try:
        uvloop.run(run(plan, given.port_file))
    except OSError as error:
        print(f"the sandbox cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

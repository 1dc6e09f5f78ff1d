"""What commands print: tables for people, or with --json one JSON document on stdout and nothing else; exit codes.

Words for people about the work itself go to stderr, so that stdout is the result alone.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson
import typer
from rich.console import Console, RenderableType
from rich.markup import escape

from core.errors import ConfigError, StoreError, TidingsError
from tidings import errors
from tidings.template_files import BadFile

# No emoji: "out:email:medium" is a stream's name.
stdout = Console(highlight=False, emoji=False)
stderr = Console(stderr=True, highlight=False, emoji=False)


class Exit(IntEnum):
    """How a command ends."""

    OK = 0
    FAILED = 1  # it ran, but not everything succeeded: a row, a delivery
    USAGE = 2  # the command line or a file is wrong
    REFUSED = 3  # the gateway refused: violations, a conflict, nothing of this name
    FORBIDDEN = 4  # no API key, or one without the scope
    UNAVAILABLE = 5  # not reached, or no answer in time: try again
    CONFIG = 78  # a setting is missing or wrong
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 done, 1 not all of it succeeded, 2 wrong usage or file, 3 refused by the gateway, "
    "4 API key missing or without the scope, 5 not reached or no answer in time, 78 wrong setting, 130 interrupted."
)


@dataclass(frozen=True, slots=True)
class Output:
    """A command's result, for a person or a program."""

    json: bool

    def show(self, value: Any, render: Callable[[], RenderableType]) -> None:
        """Print a result once: `value` as JSON, or what `render` makes of it."""
        if self.json:
            print_json(value)
        else:
            stdout.print(render())

    def note(self, text: str) -> None:
        """Tell a person what is going on; with --json nobody is listening."""
        if not self.json:
            stderr.print(text, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout: dataclasses become objects, datetimes ISO 8601."""
    typer.echo(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def _plain(value: Any) -> Any:
    if isinstance(value, errors.ClientError):
        return error_fields(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def error_fields(error: TidingsError) -> dict[str, Any]:
    """An error for a program."""
    if not isinstance(error, errors.ClientError):
        return {"kind": type(error).__name__, "message": str(error)}
    return {
        "kind": type(error).__name__,
        "code": error.code,
        "reason": error.reason,
        "message": error.message,
        "violations": list(error.violations),
    }


def exit_code(error: TidingsError) -> Exit:
    """Which exit code an error has."""
    match error:
        case errors.Unauthenticated() | errors.PermissionDenied():
            return Exit.FORBIDDEN
        case errors.DeliveryEnded():
            return Exit.FAILED
        case errors.InvalidRequest() | errors.Conflict() | errors.NotFound():
            return Exit.REFUSED
        case errors.ClientError() | StoreError():
            return Exit.UNAVAILABLE
        case ConfigError():
            return Exit.CONFIG
        case BadFile():
            return Exit.USAGE
        case _:
            return Exit.UNAVAILABLE if type(error).__name__.endswith("Unavailable") else Exit.FAILED


def remedy(error: TidingsError) -> str:
    """What to do about it, if that is not in the error already."""
    match error:
        case errors.Unavailable():
            return "Is tidings running? `tidings up` starts it here; TIDINGS_TARGET or --target says where else it is."
        case errors.Unauthenticated():
            return "Set TIDINGS_API_KEY or --api-key; `tidings key create NAME --scope send` makes a key."
        case errors.PermissionDenied():
            return "Use a key with that scope; `tidings key create` makes one."
        case errors.Overloaded():
            return "tidings is overloaded: try again later; what was accepted is safe."
        case _:
            return ""


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """A command that ends with a message and an exit code where it would end with an exception of ours."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except TidingsError as error:
            raise typer.Exit(report(error, json=bool(kwargs.get("json")))) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(Exit.INTERRUPTED) from error

    return run


def report(error: TidingsError, *, json: bool) -> Exit:
    """Tell about an error that ends a command; returns the exit code."""
    if json:
        print_json({"error": error_fields(error)})
    else:
        violations = error.violations if isinstance(error, errors.ClientError) else ()
        message = "the gateway refused this:" if violations else str(error)
        stderr.print(f"[red]Error:[/red] {escape(message)}", soft_wrap=True)
        for violation in violations:
            stderr.print(f"  [bold]{escape(violation.field)}[/bold]: {escape(violation.description)}", soft_wrap=True)
        if advice := remedy(error):
            stderr.print(advice, soft_wrap=True)
    return exit_code(error)

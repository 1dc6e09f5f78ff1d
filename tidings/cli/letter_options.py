"""The options that say which dead letters, for every command of `tidings dead`, and the filter that they make."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, cast

import typer

from tidings.messages import LetterFilter
from tidings.template_files import BadFile

Channels = Annotated[list[str] | None, typer.Option("--channel", help="email, sms, push or in_app; once for each.")]
Type = Annotated[str, typer.Option("--type", help="Of this notification type.")]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--error-class",
        help="temporary, throttled, permanent, unregistered, ambiguous, misconfigured, poison, unreachable; once for each.",
    ),
]
After = Annotated[str, typer.Option(metavar="TIME", help="Died since: 2030-01-31T12:00:00Z, or 90m, 2h, 3d ago.")]
Before = Annotated[str, typer.Option(metavar="TIME", help="Died before; as --after.")]
Keys = Annotated[list[str] | None, typer.Option("--key", help="This letter, as list shows it; once for each.")]
Limit = Annotated[int, typer.Option(min=0, help="At most so many; 0 is all.")]
All = Annotated[bool, typer.Option("--all", help="Needed where nothing else says which ones.")]


def moment(text: str, now: datetime) -> datetime:
    """A time as the command line gives it: ISO 8601 (without a timezone: UTC), or a span before `now`: 90s, 15m, 2h, 3d.

    Raises:
        BadFile: neither.
    """
    if span := re.fullmatch(r"(\d{1,6})([smhd])", text.strip()):
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[span[2]]
        return now - timedelta(**{unit: int(span[1])})
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise BadFile(f"{text!r} is no time: write 2030-01-31T12:00:00Z, or 90m, 2h, 3d for so long ago") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def which(
    channels: list[str] | None,
    type_: str,
    classes: list[str] | None,
    after: str,
    before: str,
    keys: list[str] | None = None,
) -> LetterFilter:
    """The filter that the options ask for; what is not given is left out.

    Raises:
        BadFile: a time that is none.
    """
    now = datetime.now(UTC)
    given: dict[str, Any] = {"channels": channels, "type": type_, "error_classes": classes, "keys": keys}
    given |= {"after": moment(after, now) if after else None, "before": moment(before, now) if before else None}
    return cast(LetterFilter, {name: value for name, value in given.items() if value})


def chosen(wanted: LetterFilter, *, everything: bool) -> LetterFilter:
    """The filter, once it is sure that it was meant.

    Raises:
        BadFile: nothing says which letters, or --all beside what does.
    """
    if not wanted and not everything:
        raise BadFile("which ones? Give --key, a filter such as --channel or --after, or --all")
    if wanted and everything:
        raise BadFile("--all stands alone: leave it out, or the filter")
    return wanted

"""Options that several commands share, and the client they make."""

import json as json_
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from tidings.channel import Tls
from tidings.client import Client
from tidings.template_files import BadFile

PATIENCE_S = 5.0  # a person waits for the answer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Target = Annotated[
    str | None,
    typer.Option(
        "--target", metavar="HOST:PORT", help="The gateway. Default: TIDINGS_TARGET, or the `tidings up` of this folder."
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", metavar="KEY", help="Default: TIDINGS_API_KEY, or the key that `tidings up` made."),
]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", help="Trust this certificate authority (PEM) and speak TLS. Default: TIDINGS_CA_FILE."),
]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", "-d", metavar="NAME=TEXT", help="A variable of the template; NAME:=JSON for anything but text."),
]
DataFolder = Annotated[Path, typer.Option("--data", metavar="FOLDER", help="Where everything is kept.")]


def connect(target: str | None, api_key: str | None, ca_file: Path | None) -> Client:
    """The client that the options ask for."""
    return Client(target, api_key, tls=Tls(ca_file) if ca_file else None, timeout=PATIENCE_S)


def parse_data(given: Iterable[str] | None) -> dict[str, Any]:
    """Variables as the command line gives them: "name=Ada", "total:=9.5".

    Raises:
        BadFile: neither form, or not JSON after ":=".
    """
    data: dict[str, Any] = {}
    for item in given or ():
        name, equals, text = item.partition("=")
        if not equals or not name.strip(":"):
            raise BadFile(f"--data {item!r}: expected NAME=TEXT or NAME:=JSON")
        if not name.endswith(":"):
            data[name] = text
            continue
        try:
            data[name[:-1]] = json_.loads(text)
        except ValueError as error:
            raise BadFile(f"--data {item!r}: {text!r} is not JSON; NAME=TEXT takes text as it is") from error
    return data


def words(text: str) -> str:
    """Help as typer prints it: a paragraph's lines are joined, unless they are indented by a space."""
    return "\n\n".join(
        p.removeprefix(" ").replace("\n ", "\n") if p.startswith(" ") else " ".join(p.split())
        for p in text.strip("\n").split("\n\n")
    )

"""`tidings template`: put, list, preview."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tidings import messages, template_files
from tidings.cli.options import ApiKey, CaFile, Data, Json, Target, connect, parse_data, words
from tidings.cli.output import Output, guarded
from tidings.messages import ChannelName

app = typer.Typer(no_args_is_help=True, help="Store, list and preview templates.")

PUT_HELP = words("""Store templates: each call makes a new version, none is ever edited.

tidings template put order_confirmation.toml

A file has a table for each channel and language:

 name = "order_confirmation"
 default_language = "en"
 variables = \\["name", "order_id", "note?"]    (with "?": may be left out)
 \\[email.en]
 subject = "Your order {{ order_id }}"
 html = { file = "order_confirmation.en.html" }    (or the text itself)
 text = "Hello {{ name }}, ..."

Parts: email subject, html, text; sms text; push title, body, data; in_app title, body, action. Jinja2; html is escaped.
The package's folder tidings/examples has complete ones.
""")
PREVIEW_HELP = words("""Render a template without sending it: a stored one by its name, or a file that is not stored yet.

tidings template preview order_confirmation --channel email --language de-AT -d name=Ada -d order_id=1042

tidings template preview ./order_confirmation.toml --channel sms -d name=Ada -d order_id=1042
""")


@app.command(help=PUT_HELP)
@guarded
def put(
    *,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Template files.")],
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Store templates; PUT_HELP has the words for people."""
    out = Output(json)
    read = [template_files.load(file) for file in files]  # all of them, before one is stored
    with connect(target, api_key, ca_file) as client:
        stored = [
            client.put_template(t.name, t.contents, default_language=t.default_language, variables=t.variables) for t in read
        ]
    told = [f"{t.name} version {t.version}: {_summary(t.contents)}" for t in stored]
    out.show([{"name": t.name, "version": t.version} for t in stored], lambda: "\n".join(told))


@app.command("list")
@guarded
def list_(*, target: Target = None, api_key: ApiKey = None, ca_file: CaFile = None, json: Json = False) -> None:
    """List all templates, each in its latest version."""
    out = Output(json)
    with connect(target, api_key, ca_file) as client:
        found = client.list_templates()

    def render() -> RenderableType:
        table = Table(box=None, pad_edge=False)
        table.add_column("name", no_wrap=True)
        for name in ("version", "default", "variables", "channels and languages", "put (UTC)"):
            table.add_column(name, overflow="fold")
        for t in found:
            variables = ", ".join(name if required else f"{name}?" for name, required in t.variables.items())
            put_at = f"{t.created_at:%Y-%m-%d %H:%M}" if t.created_at else ""
            table.add_row(t.name, str(t.version), t.default_language, variables, _summary(t.contents), put_at)
        return table if found else "There are none yet: `tidings template put FILE` stores one."

    out.show(found, render)


def _summary(contents: Any) -> str:
    return "; ".join(f"{channel} {', '.join(languages)}" for channel, languages in contents.items())


@app.command(help=PREVIEW_HELP)
@guarded
def preview(
    *,
    template: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A stored template, or a .toml file.")],
    channel: Annotated[str, typer.Option(help="email, sms, push or in_app.")],
    language: Annotated[str, typer.Option(help="The usual fallback applies: de-AT, de, default.")] = "",
    version: Annotated[int, typer.Option(help="Of a stored template; 0 is the latest.")] = 0,
    data: Data = None,
    target: Target = None,
    api_key: ApiKey = None,
    ca_file: CaFile = None,
    json: Json = False,
) -> None:
    """Render without sending; PREVIEW_HELP has the words for people."""
    out = Output(json)
    what: Any = template
    if template.endswith(".toml"):
        t = template_files.load(Path(template))
        what = messages.template(t.name, t.contents, t.default_language, t.variables)
    values = parse_data(data)
    with connect(target, api_key, ca_file) as client:
        parts = client.preview(what, channel=cast(ChannelName, channel), language=language, data=values, version=version)

    def render() -> RenderableType:
        panels = [Panel(Text(_text(v)), title=k, title_align="left") for k, v in parts.items() if k != "language"]
        return Group(f"{channel} in {parts['language']}", *panels)

    out.show(parts, render)


def _text(part: Any) -> str:
    return "\n".join(f"{key} = {value}" for key, value in part.items()) if isinstance(part, dict) else str(part)

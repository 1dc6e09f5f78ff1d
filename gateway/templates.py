"""TemplatesService: keeps templates, version by version, and renders without sending."""

import asyncio
import logging
from typing import NamedTuple

from core import changes, parts
from core.errors import StoreError
from core.model import Channel, Part
from fastpath import RenderFailed, TemplateInvalid, VariableMissing, compile_parts, fallback, unpack_parts
from gateway import check_template, data, fields, pages, validate, views
from gateway.catalog import Catalog
from gateway.door import Context
from gateway.errors import Refusal, Violation, invalid, not_found
from ledger.templates import TemplateStore
from ledger.values import StoredTemplate
from tidings.v1 import templates_pb2 as pb
from tidings.v1 import templates_pb2_grpc
from tidings.v1.types_pb2 import ErrorReason

log = logging.getLogger("tidings.gateway")

PAGE, PAGE_MAX = 100, 500
_REQUIRED = ErrorReason.ERROR_REASON_REQUIRED


class Templates(templates_pb2_grpc.TemplatesServiceServicer):
    """The service.

    Args:
        store: the ledger's templates.
        catalog: what acceptance remembers of them.
        tell: tells other processes that templates changed.
    """

    def __init__(self, store: TemplateStore, catalog: Catalog, tell: changes.Changes) -> None:
        self._store = store
        self._catalog = catalog
        self._tell = tell

    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutResponse:
        """Stores a new version."""
        if not request.HasField("template"):
            raise invalid([Violation("template", "is required", _REQUIRED)])
        checked = await _checked(request.template)
        stored = await self._store.put(views.to_template(request.template, checked.language, checked.languages))
        self._catalog.changed(changes.TEMPLATE, stored.name)  # whoever puts and sends through this process sees it at once
        try:
            await self._tell.publish(changes.TEMPLATE, stored.name)
        except StoreError as error:  # the version is stored, and other processes look again by themselves after a while
            log.warning("a new template version was not announced: %s", error, extra={"template": stored.name})
        return pb.PutResponse(template=views.template(stored))

    async def Get(self, request: pb.TemplatesServiceGetRequest, context: Context) -> pb.TemplatesServiceGetResponse:
        """One template, the latest version or a given one."""
        faults = validate.Faults()
        faults.check("name", fields.name, request.name)
        if faults:
            raise invalid(faults)
        return pb.TemplatesServiceGetResponse(template=views.template(await self._find(request.name, request.version)))

    async def List(self, request: pb.TemplatesServiceListRequest, context: Context) -> pb.TemplatesServiceListResponse:
        """All templates by name, without their texts."""
        faults = validate.Faults()
        validate.page_size(request.page_size, PAGE_MAX, faults)
        after = pages.read_name(pages.TEMPLATES, request.page_token, faults)
        if faults:
            raise invalid(faults)
        size = request.page_size or PAGE
        found = await self._store.list(size + 1, after)
        more = len(found) > size
        return pb.TemplatesServiceListResponse(
            templates=map(views.template, found[:size]),
            next_page_token=pages.token(pages.TEMPLATES, found[size - 1].name.encode()) if more else "",
        )

    async def Preview(self, request: pb.PreviewRequest, context: Context) -> pb.PreviewResponse:
        """Renders a stored template, or one that is not stored (yet)."""
        wanted = _preview(request)
        if request.HasField("template"):
            checked = await _checked(request.template)
            template = views.to_template(request.template, checked.language, checked.languages)
        else:
            template = await self._find(request.name, request.version)
        language, sources = _choose(template, Channel(request.channel), wanted.language)
        rendered = await asyncio.to_thread(_render, sources, wanted.values)
        return pb.PreviewResponse(content=views.content(request.channel, language, rendered), version=template.version)

    async def _find(self, name: str, version: int) -> StoredTemplate:
        stored = await self._store.get(name, version) if version <= validate.VERSION_MAX else None
        if stored is None:
            raise not_found(f"there is no template {fields.quote(name)}" + (f" in version {version}" if version else ""))
        return stored


async def _checked(template: pb.Template) -> check_template.Checked:
    # In a thread: compiling hundreds of texts takes its time, and sending must not wait for it.
    checked = await asyncio.to_thread(check_template.template, template)
    if checked.faults:
        raise invalid([fault.under("template") for fault in checked.faults])
    return checked


class _Wanted(NamedTuple):
    """A checked request for a preview."""

    language: str
    values: data.Plain


def _preview(r: pb.PreviewRequest) -> _Wanted:
    faults = validate.Faults()
    if r.HasField("template") and (r.name or r.version):
        faults.note(
            "name", ErrorReason.ERROR_REASON_INVALID_FORMAT, "give the name of a stored template or a template, not both"
        )
    elif not r.HasField("template"):
        faults.check("name", fields.name, r.name)
    if not Channel.EMAIL <= r.channel <= Channel.IN_APP:
        text = f"{r.channel} is not a channel; 1 (email) to 4 (in-app) are"
        faults.note("channel", ErrorReason.ERROR_REASON_UNKNOWN_VALUE, text)
    language = faults.check("language", fields.language, r.language) if r.language else ""
    values, _, bad_data = data.plain(r.data)
    faults.extend(fault.under("data") for fault in bad_data)
    if faults:
        raise invalid(faults)
    return _Wanted(language, values)


def _choose(template: StoredTemplate, channel: Channel, language: str) -> tuple[str, dict[Part, str]]:
    """The language found for the one asked for, and the sources in it."""
    contents = {content.language: content.parts for content in template.contents if content.channel == channel}
    if not contents:
        text = f"the template has no content for {channel.name.lower()}"
        raise invalid([Violation("channel", text, ErrorReason.ERROR_REASON_MISSING_CONTENT)])
    found = fallback(language, list(contents), template.default_language)
    found = found if found in contents else next(iter(contents))
    return found, dict(contents[found])


def _render(sources: dict[Part, str], values: data.Plain) -> dict[Part, str]:
    try:
        rendered = compile_parts(parts.sources(sources)).render(values)
    except VariableMissing as error:
        raise _refuse(f"data.{error.name}", "is missing", ErrorReason.ERROR_REASON_MISSING_VARIABLE) from error
    except (RenderFailed, TemplateInvalid) as error:
        raise _refuse("template", f"cannot be rendered: {error}", ErrorReason.ERROR_REASON_INVALID_TEMPLATE) from error
    return {Part(part): text.decode() for part, text in unpack_parts(rendered).items()}


def _refuse(field: str, text: str, reason: ErrorReason.ValueType) -> Refusal:
    return invalid([Violation(field, text, reason)])

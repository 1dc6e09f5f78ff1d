"""Templates in PostgreSQL: versions are added, never edited."""

from dataclasses import replace

from core.model import Channel, Part
from ledger.database import Database, Row, to_json
from ledger.sql import load
from ledger.values import StoredTemplate, TemplateContent, TemplateVariable

_SQL = load("templates")


class TemplateStore:
    """Reads and adds templates."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, template: StoredTemplate) -> StoredTemplate:
        """Stores a new version, the first if the name is new; the template with its version and time."""
        params = {
            "name": template.name,
            "default_language": template.default_language,
            "variables": to_json([[v.name, v.required] for v in template.variables]),
            "contents": to_json(
                [[c.channel, c.language, {str(int(part)): text for part, text in c.parts.items()}] for c in template.contents]
            ),
        }
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["lock"], params)
            ((version, created_ms),) = await (await connection.execute(_SQL["put"], params)).fetchall()
        return replace(template, version=version, created_ms=created_ms)

    async def get(self, name: str, version: int = 0) -> StoredTemplate | None:
        """A template in a version, 0 for the latest; None if there is none."""
        row = await self._database.fetch_one(_SQL["get"], {"name": name, "version": version})
        return _template(row) if row else None

    async def list(self, page_size: int = 100, after_name: str = "") -> list[StoredTemplate]:
        """The latest version of each template, by name, after `after_name`; their contents have no parts."""
        rows = await self._database.fetch(_SQL["list"], {"page_size": page_size, "after_name": after_name})
        return [_template(row) for row in rows]


def _template(row: Row) -> StoredTemplate:
    name, version, default_language, variables, contents, created_ms = row
    return StoredTemplate(
        name,
        default_language,
        tuple(TemplateVariable(variable, required) for variable, required in variables),
        tuple(
            TemplateContent(Channel(channel), language, {Part(int(part)): text for part, text in dict(*parts).items()})
            for channel, language, *parts in contents or ()
        ),
        version,
        created_ms,
    )

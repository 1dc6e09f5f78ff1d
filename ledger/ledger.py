"""The ledger as other rooms hold it: one object with its stores."""

from ledger.apikeys import KeyStore
from ledger.applier import Applier
from ledger.database import Database
from ledger.deliveries import DeliveryStore
from ledger.inbox import InboxStore
from ledger.migrate import migrate as migrate_database
from ledger.migrate import require_migrated
from ledger.partitions import Partitions
from ledger.recipients import RecipientStore
from ledger.runs import Runs
from ledger.templates import TemplateStore


class Ledger:
    """PostgreSQL, seen through stores. Every method of a store may raise LedgerUnavailable (try again) or LedgerError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.partitions = Partitions(database)
        self.templates = TemplateStore(database)
        self.recipients = RecipientStore(database)
        self.keys = KeyStore(database)
        self.inbox = InboxStore(database)
        self.deliveries = DeliveryStore(database)
        self.applier = Applier(database, self.partitions, Runs(database))

    @classmethod
    async def open(cls, dsn: str, *, migrate: bool = False) -> "Ledger":
        """Connects to the database `dsn` (postgresql://...), and with `migrate` brings it up to date first.

        Raises:
            LedgerUnavailable: it cannot be reached, or refuses us.
            LedgerError: it lacks migrations, or one failed.
        """
        if migrate:
            await migrate_database(dsn)
        database = await Database.open(dsn)
        try:
            await require_migrated(database)
        except BaseException:
            await database.close()
            raise
        return cls(database)

    async def ping(self) -> None:
        """Asks the database for nothing; raises LedgerUnavailable if it does not answer."""
        await self._database.execute(b"select 1")

    async def close(self) -> None:
        """Closes all connections."""
        await self._database.close()

"""The last station and the only room that knows PostgreSQL: outcomes in, status, timelines and stored values out.

Other rooms open a Ledger and get frozen values (ledger.values); no psycopg type leaves this package.
"""

from ledger.ledger import Ledger

__all__ = ["Ledger"]

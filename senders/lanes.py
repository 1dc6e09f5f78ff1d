"""Recipient domains that ask for patience: each has a gate of its own before its provider's, for as long as that lasts.

Only of mail servers: they pass on what the large mailbox providers say of one domain's mail, and the others' is none of it.
"""

from core.model import ErrorClass
from fastpath import Record
from senders.gate import Gate
from senders.provider import Answer

BY_DOMAIN = frozenset({"smtp"})  # providers whose replies are those of the recipients' servers
DOMAINS_MOST = 1_000  # with a gate of their own at once; further ones slow down the account
DOMAINS_WORD = "4.7."  # how a reply begins that is about the recipients' domain: policy and rates of who takes the mail


def domain_of(address: str) -> str:
    """The domain of an e-mail address, in lower case."""
    return address.rpartition("@")[2].lower()


class Lanes:
    """The domains of one provider in one process; `gate` is the provider's."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._gates: dict[str, Gate] = {}

    def of(self, record: Record) -> Gate | None:
        """The gate that a message must pass before its provider's; None while its domain asks for nothing."""
        if not self._gates:
            return None
        gate = self._gates.get(domain_of(record.address))
        return gate if gate is not None and gate.limited else None

    def report(self, answer: Answer, record: Record) -> bool:
        """Takes in an answer; whether it was about the message's domain, and not about the account."""
        if answer.error_class is not ErrorClass.THROTTLED or not answer.code.startswith(DOMAINS_WORD):
            return False
        lane = self._lane(domain_of(record.address))
        if lane is not None:
            lane.slow_down(self._gate.seen_per_s)  # the domain's part of it was no more than all
        return lane is not None

    def _lane(self, domain: str) -> Gate | None:
        if domain not in self._gates:
            self._gates = {name: gate for name, gate in self._gates.items() if gate.limited}
            made = self._gate.beside(domain) if len(self._gates) < DOMAINS_MOST else None
            if made is None:
                return None
            self._gates[domain] = made
        return self._gates[domain]

    async def close(self) -> None:
        """Ends what runs here."""
        for gate in self._gates.values():
            await gate.close()

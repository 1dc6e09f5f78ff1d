"""The command line: `tidings COMMAND`. Each command is a thin layer over the client, the ledger or the supervisor."""


def main() -> None:
    """The entry point of `tidings` and of `python -m tidings`."""
    from tidings.cli.app import app  # noqa: PLC0415 - the tables of this package serve others too, without its commands

    app()

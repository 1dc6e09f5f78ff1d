"""What a person holds: the client, the command line, the local supervisor and the provider sandbox."""

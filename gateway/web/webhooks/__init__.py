"""One file a provider: the signature's check, the reading of its events, the table from its words to ours."""

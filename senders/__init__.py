"""Senders: one file a channel, one file a provider. They speak to the outside world; what follows an answer is core's word."""

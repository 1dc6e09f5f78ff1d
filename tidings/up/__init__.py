"""`tidings up`: a local supervisor that runs the whole system on one machine, for development and the demo."""

"""The gateway's web door: providers' webhooks and apps' receipts in; a page, health and metrics out. It decides nothing."""

"""Tests: unit by room, integration against real Redis and PostgreSQL, acceptance with real processes."""

"""The doors in: gRPC services, field validation, webhooks and pages. Accepts and answers; never decides, never sends."""

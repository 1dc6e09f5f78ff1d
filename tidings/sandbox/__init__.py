"""The provider sandbox: SendGrid, Twilio, FCM, APNs and an SMTP server, simulated over real sockets on this machine.

Nothing here imports a station: the sandbox knows of tidings only what the real providers would know.
"""

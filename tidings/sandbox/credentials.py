"""The simulators' credentials: made once, kept in the data folder, the same again after a restart.

Writes files that only their owner may read. The keys are real, the accounts are not: nothing here opens any provider's door.
"""

import base64
import datetime
import ipaddress
import json
import os
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PROJECT_ID = "tidings-sandbox"
FROM_NUMBER = "+15005550006"  # Twilio's own "everything is fine" test number
APNS_TOPIC = "com.example.tidings"
SMTP_USERNAME = "tidings"
CERTIFICATE_DAYS = 397  # what browsers and Apple's own clients accept at most
_CAPITALS = string.ascii_uppercase + string.digits


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What the simulators check against, and where the files of it are."""

    folder: Path
    sendgrid_key: str
    twilio_sid: str
    twilio_token: str
    smtp_password: str
    apns_key_id: str  # ten characters, as Apple's
    apns_team_id: str
    oauth_secret: str  # signs the access tokens of the token endpoint
    webhook_key: ec.EllipticCurvePrivateKey  # signs SendGrid's events
    apns_key: ec.EllipticCurvePrivateKey  # the client signs provider tokens with it
    fcm_key: rsa.RSAPrivateKey  # the client signs token requests with it

    @property
    def webhook_public_key(self) -> str:
        """SendGrid's verification key as its console shows it: DER in base64, no PEM lines."""
        der = self.webhook_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    @property
    def fcm_email(self) -> str:
        """The service account's name."""
        return f"sandbox@{PROJECT_ID}.iam.gserviceaccount.com"

    @property
    def service_account_file(self) -> Path:
        """FCM: what Google's console hands out as JSON."""
        return self.folder / "fcm-service-account.json"

    @property
    def apns_key_file(self) -> Path:
        """APNs: the .p8 file of the signing key."""
        return self.folder / "apns-key.p8"

    @property
    def ca_file(self) -> Path:
        """PEM: the authority that signed the server certificate."""
        return self.folder / "ca.pem"

    @property
    def server_file(self) -> Path:
        """PEM: the server's certificate and key."""
        return self.folder / "server.pem"


def load(folder: Path) -> Credentials:
    """The credentials in `folder`; what is missing is made and written. The TLS certificate is renewed before it ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    words = _words(folder / "credentials.json")
    credentials = Credentials(
        folder=folder,
        webhook_key=_ec_key(folder / "sendgrid-webhook-key.pem"),
        apns_key=_ec_key(folder / "apns-key.p8"),
        fcm_key=_rsa_key(folder / "fcm-key.pem"),
        **words,
    )
    if not _certificate_lasts(credentials.server_file) or not credentials.ca_file.exists():
        _write_certificates(credentials)
    return credentials


def write_service_account(credentials: Credentials, token_uri: str) -> None:
    """Write the service account's JSON; its `token_uri` leads to the simulator's token endpoint."""
    account = {
        "type": "service_account",
        "project_id": PROJECT_ID,
        "private_key_id": "sandbox",
        "private_key": _private_pem(credentials.fcm_key).decode(),
        "client_email": credentials.fcm_email,
        "client_id": "100000000000000000001",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }
    _write(credentials.service_account_file, json.dumps(account, indent=2).encode())


def _words(path: Path) -> dict[str, str]:
    if path.exists():
        known: dict[str, str] = json.loads(path.read_text())
        return known
    words = {
        "sendgrid_key": f"SG.{secrets.token_urlsafe(16)}.{secrets.token_urlsafe(32)}",
        "twilio_sid": "AC" + secrets.token_hex(16),
        "twilio_token": secrets.token_hex(16),
        "smtp_password": secrets.token_urlsafe(16),
        "apns_key_id": "".join(secrets.choice(_CAPITALS) for _ in range(10)),
        "apns_team_id": "".join(secrets.choice(_CAPITALS) for _ in range(10)),
        "oauth_secret": secrets.token_hex(32),
    }
    _write(path, json.dumps(words, indent=2).encode())
    return words


def _ec_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        _write(path, _private_pem(ec.generate_private_key(ec.SECP256R1())))
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _rsa_key(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        _write(path, _private_pem(rsa.generate_private_key(65537, 2048)))
    # The file is our own: checking the key's primes again would take longer than everything else at start.
    key = serialization.load_pem_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    beside.replace(path)


def _certificate_lasts(path: Path) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=7)


def _write_certificates(credentials: Credentials) -> None:
    """An authority whose key is thrown away at once, and one server certificate of it for this machine's own names."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tidings sandbox CA")])

    def builder(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )

    signing = x509.KeyUsage(True, False, False, False, False, True, True, False, False)  # signs certificates and CRLs
    ca = (
        builder(ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signing, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    own = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), *own])
    server = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(credentials.server_file, server.public_bytes(serialization.Encoding.PEM) + _private_pem(server_key))
    _write(credentials.ca_file, ca.public_bytes(serialization.Encoding.PEM))

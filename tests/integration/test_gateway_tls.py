"""TLS on both doors by settings; with an authority for callers, their certificates speak for them."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.errors import ConfigError
from core.process import Context
from core.settings import Settings
from core.store import Store
from gateway.__main__ import build
from ledger import Ledger
from tests.integration.gateway_kit import Door, details, gateway, notification
from tidings.v1 import notifications_pb2 as pb
from tidings.v1 import templates_pb2


class Authority:
    """Makes certificates, as files and as bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        certificate = self._sign("authority", self._key.public_key(), authority=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, secret = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(self._sign(name, key.public_key()))
        form = serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return certificate, secret

    def _sign(self, name: str, key: ec.EllipticCurvePublicKey, authority: bool = False) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def channel(door: Door, authority: Authority, caller: tuple[Path, Path] | None = None) -> grpc.aio.Channel:
    certificate, key = (path.read_bytes() for path in caller) if caller else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), key, certificate)
    return grpc.aio.secure_channel(door.target.replace("127.0.0.1", "localhost"), credentials)


async def test_calls_are_encrypted(settings: Settings, store: Store, ledger: Ledger, authority: Authority) -> None:
    certificate, key = authority.issue("server")
    secured = settings.model_copy(update={"tls_cert": certificate, "tls_key": key})
    async with gateway(secured, store, ledger) as door, channel(door, authority) as encrypted:
        inside = Door(store, ledger, door.target, "", encrypted, door.key)
        await inside.put()
        assert (await inside.send(notification())).notification_id
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await inside.notifications.Send(pb.SendRequest())
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await door.send(notification())  # in the clear
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        trust = ssl.create_default_context(cafile=str(authority.file))
        url = door.web_url.replace("http://127.0.0.1", "https://localhost")
        async with aiohttp.ClientSession() as session, session.get(f"{url}/healthz", ssl=trust) as answer:
            assert answer.status == 200


async def test_a_certificate_speaks_for_its_caller(
    settings: Settings, store: Store, ledger: Ledger, authority: Authority
) -> None:
    certificate, key = authority.issue("server")
    changes = {"tls_cert": certificate, "tls_key": key, "tls_client_ca": authority.file}
    async with gateway(settings.model_copy(update=changes), store, ledger) as door:
        async with channel(door, authority, authority.issue("billing")) as encrypted:
            inside = Door(store, ledger, door.target, "", encrypted, door.key)
            await inside.put()  # a key is needed for what operators do, and taken beside a certificate
            request = pb.SendRequest(notification=notification())
            assert (await inside.notifications.Send(request)).notification_id
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await inside.templates.Put(templates_pb2.PutRequest())
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert details(caught.value)[0] == "ERROR_REASON_MISSING_SCOPE" and "billing" in (caught.value.details() or "")
        async with channel(door, authority) as anonymous:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await Door(store, ledger, "", "", anonymous, door.key).send(notification())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("broken", ["tls_cert", "tls_key"])
async def test_a_certificate_that_cannot_be_read_is_told(
    settings: Settings, store: Store, ledger: Ledger, authority: Authority, broken: str
) -> None:
    certificate, key = authority.issue("server")
    changes = {"tls_cert": certificate, "tls_key": key, broken: Path("/nowhere")}
    with pytest.raises(ConfigError, match=f"{broken.upper()}.*nowhere"):
        async with build(Context(settings.model_copy(update=changes), store)):
            pass

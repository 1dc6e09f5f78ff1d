"""Both clients over TLS: an authority of one's own, a certificate of one's own, and what happens without them."""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

import tidings
from tests.integration.test_client_faults import FIELDS, Moody, Run, asynchronous, blocking
from tidings.v1.notifications_pb2_grpc import add_NotificationsServiceServicer_to_server


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


def issue(folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None) -> Any:
    """A certificate for 127.0.0.1, of the issuer or its own; returns the pair, and what issues further ones."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    )
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair, (certificate, key)


@dataclass(frozen=True)
class Site:
    """A gateway that speaks mutual TLS."""

    target: str
    authority: Path
    client: Pair


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    authority, issuer = issue(tmp_path, "authority")
    server_pair, _ = issue(tmp_path, "server", issuer)
    client_pair, _ = issue(tmp_path, "client", issuer)
    pairs = [(server_pair.key.read_bytes(), server_pair.certificate.read_bytes())]
    credentials = grpc.ssl_server_credentials(pairs, authority.certificate.read_bytes(), require_client_auth=True)
    server = grpc.aio.server()
    add_NotificationsServiceServicer_to_server(Moody(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    yield Site(f"127.0.0.1:{port}", authority.certificate, client_pair)
    await server.stop(None)


@pytest.fixture(params=[blocking, asynchronous], ids=["Client", "AsyncClient"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


async def test_with_authority_and_certificate(run: Run, site: Site) -> None:
    tls = tidings.Tls(site.authority, site.client.certificate, site.client.key)
    assert await run(site.target, "send", FIELDS, 10, tls) == tidings.Result("n1")


@pytest.mark.parametrize("tls", ["none", "public", "no certificate"])
async def test_without_them_nothing_is_sent(run: Run, site: Site, tls: str) -> None:
    chosen = {"none": False, "public": True, "no certificate": tidings.Tls(site.authority)}[tls]
    with pytest.raises(tidings.Unavailable):
        await run(site.target, "send", FIELDS, 0.5, chosen)

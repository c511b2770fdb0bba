import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from mitosis_local.certificates import Authority, Pair, alternative_names
from mitosis_local.controlplane import API_SERVER_NAMES


def test_addresses_and_names_are_told_apart() -> None:
    assert alternative_names(["127.0.0.1", "::1", "kubernetes.default.svc"]) == [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
        x509.DNSName("kubernetes.default.svc"),
    ]


@pytest.mark.parametrize("name", ["127.0.0.1", "172.30.0.1", "10.96.0.1"])
def test_the_api_server_is_known_by_the_addresses_of_host_hub_and_service(name: str) -> None:
    pair = Authority("test").issue("kube-apiserver", API_SERVER_NAMES)
    names = _certificate(pair).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert ipaddress.ip_address(name) in names.value.get_values_for_type(x509.IPAddress)


def test_a_client_is_named_by_user_and_group() -> None:
    pair = Authority("test").issue("system:node:node-1", organisation="system:nodes")
    assert _certificate(pair).subject.rfc4514_string() == "CN=system:node:node-1,O=system:nodes"


def test_a_handshake_holds_with_the_strictest_verification(tmp_path: Path) -> None:
    """Python since 3.13, which runs in the images, is strict by itself."""
    authority = Authority("test")
    authority.pair.write(tmp_path, "ca")
    authority.issue("server", ["server.test"]).write(tmp_path, "server")
    assert _handshake(tmp_path, "server.test") == "server"


def test_another_name_is_not_accepted(tmp_path: Path) -> None:
    authority = Authority("test")
    authority.pair.write(tmp_path, "ca")
    authority.issue("server", ["server.test"]).write(tmp_path, "server")
    with pytest.raises(ssl.SSLCertVerificationError, match="other.test"):
        _handshake(tmp_path, "other.test")


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    Authority("test").pair.write(tmp_path, "ca")
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0


def _certificate(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def _handshake(folder: Path, name: str) -> str:
    """The common name that a client sees, in memory."""
    client_context = ssl.create_default_context(cafile=folder / "ca.crt")
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "server.crt", folder / "server.key")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(back, there, server_hostname=name)
    server = server_context.wrap_bio(there, back, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    seen = client.getpeercert()
    assert seen is not None
    return str(seen["subject"][0][0][1])  # type: ignore[index]

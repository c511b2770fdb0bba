"""Certificates that strict verifiers accept, renewed in time."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509 import verification

from fakes.kube import FakeKube
from mitosis_operator import certificates
from mitosis_operator.kube.access import load_chain
from mitosis_operator.kube.kinds import SECRET
from mitosis_operator.kube.secret_store import Secrets
from mitosis_operator.objects import credentials
from mitosis_operator.reconcile.identity import Identity
from operators import SETTINGS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("shop-0-4096-1", "shop-0-4096-1.apps.svc")


@pytest.fixture(scope="module")
def authority() -> certificates.KeyPair:
    return certificates.new_authority("mitosis-ca", NOW)


@pytest.fixture(scope="module")
def leaf(authority: certificates.KeyPair) -> certificates.KeyPair:
    return certificates.new_leaf(authority, NAMES[0], NAMES, NOW)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """Speak TLS in memory; return the common name that the client proved."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for side in (client_side, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    peer = server_side.getpeercert()
    assert peer is not None
    return dict(pair[0] for pair in peer["subject"])["commonName"]  # type: ignore[misc]


def test_both_sides_prove_who_they_are_to_strict_verifiers() -> None:
    now = datetime.now(UTC)
    authority = certificates.new_authority("mitosis-ca", now)
    contexts = []
    for protocol, name in (
        (ssl.PROTOCOL_TLS_SERVER, NAMES[0]),
        (ssl.PROTOCOL_TLS_CLIENT, "mitosis-operator"),
    ):
        pair = certificates.new_leaf(authority, name, (name,), now)
        context = ssl.SSLContext(protocol)
        context.load_verify_locations(cadata=authority.certificate)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.verify_mode = ssl.CERT_REQUIRED
        load_chain(context, pair.certificate, pair.key)
        contexts.append(context)
    assert handshake(contexts[0], contexts[1], NAMES[0]) == "mitosis-operator"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(contexts[0], contexts[1], "shop-0-4096-2")


def test_a_leaf_is_valid_by_the_rules_of_the_web(
    authority: certificates.KeyPair, leaf: certificates.KeyPair
) -> None:
    store = verification.Store([x509.load_pem_x509_certificate(authority.certificate.encode())])
    verifier = (
        verification.PolicyBuilder()
        .store(store)
        .time(NOW + timedelta(days=1))
        .build_server_verifier(x509.DNSName(NAMES[0]))
    )
    found = x509.load_pem_x509_certificate(leaf.certificate.encode())
    assert verifier.verify(found, [])[0] == found


def test_the_common_name_is_the_whole_subject(leaf: certificates.KeyPair) -> None:
    """MySQL compares REQUIRE SUBJECT literally."""
    found = x509.load_pem_x509_certificate(leaf.certificate.encode())
    assert found.subject.rfc4514_string() == f"CN={NAMES[0]}"


@pytest.mark.parametrize(("days", "due"), [(0, False), (59, False), (60, True), (400, True)])
def test_a_leaf_is_renewed_when_two_thirds_of_its_life_are_over(
    authority: certificates.KeyPair, leaf: certificates.KeyPair, days: int, due: bool
) -> None:
    now = NOW + timedelta(days=days)
    assert certificates.must_renew(leaf.certificate, authority.certificate, NAMES, now) is due


def test_what_would_not_be_made_today_is_made_anew(
    authority: certificates.KeyPair, leaf: certificates.KeyPair
) -> None:
    other = certificates.new_authority("mitosis-ca", NOW).certificate
    assert certificates.must_renew(leaf.certificate, other, NAMES, NOW)
    assert certificates.must_renew(leaf.certificate, authority.certificate, ("x",), NOW)
    assert certificates.must_renew("rubbish", authority.certificate, NAMES, NOW)
    assert certificates.must_renew("", authority.certificate, NAMES, NOW)


class Moved:
    """A wall clock and a steady one that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


def an_identity(kube: FakeKube, clock: Moved) -> Identity:
    return Identity(kube, Secrets(kube, clock), SETTINGS, clock.now)


def stored(kube: FakeKube, name: str) -> dict[str, bytes]:
    return credentials.read(kube.one(SECRET, name, "mitosis"))


async def test_certificates_are_renewed_as_time_goes_by() -> None:
    kube, clock = FakeKube(), Moved()
    identity = an_identity(kube, clock)
    await identity.ensure()
    first = {n: stored(kube, n) for n in ("mitosis-operator-tls", "mitosis-gate-tls")}
    context = identity.context()
    clock.seconds += 59 * 86400
    await identity.ensure()
    assert {n: stored(kube, n) for n in first} == first
    clock.seconds += 2 * 86400
    await identity.ensure()
    for name, before in first.items():
        assert stored(kube, name)["tls.crt"] != before["tls.crt"]
    assert identity.context() is not context


async def test_two_operators_agree_on_one_authority() -> None:
    kube, clock = FakeKube(), Moved()
    one, two = an_identity(kube, clock), an_identity(kube, clock)
    await one.ensure()
    await two.ensure()
    assert one.authority == two.authority


async def test_a_certificate_that_a_person_supplied_is_left_alone() -> None:
    kube, clock = FakeKube(), Moved()
    own = credentials.plain(
        "mitosis-gate-tls",
        "mitosis",
        {"tls.crt": "theirs", "tls.key": "theirs"},
        labels={"owner": "dba"},
    )
    kube.put(own)
    await an_identity(kube, clock).ensure()
    assert stored(kube, "mitosis-gate-tls")["tls.crt"] == b"theirs"

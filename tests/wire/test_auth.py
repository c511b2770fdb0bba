"""Logins with caching_sha2_password: every way in, and no other."""

import captures
import pytest

from mitosis_gate.errors import AccessDenied, BadHandshake, GateError, MysqlError
from mitosis_gate.wire import auth, packets
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.auth import ClientLogin, ServerKey, ServerLogin

NONCE = auth.new_nonce()
FAST_OK, FULL = b"\x01\x03", b"\x01\x04"


@pytest.fixture(scope="module")
def key():
    return ServerKey()


def a_login(key, passwords=("secret",), encrypted=False):
    return ServerLogin("app", "10.0.0.1", passwords, NONCE, key, encrypted)


def test_the_proof_is_that_of_real_clients():
    conversation = captures.read("pymysql-fast-login")
    assert auth.scramble("secret", conversation.greeting.nonce) == conversation.login.proof


def test_a_nonce_never_contains_what_ends_it():
    for _ in range(200):
        nonce = auth.new_nonce()
        assert len(nonce) == c.NONCE_BYTES
        assert b"\0" not in nonce and b"$" not in nonce


def test_a_right_proof_is_enough(key):
    login = a_login(key, ("other", "secret"))
    assert login.start(c.CACHING_SHA2, auth.scramble("secret", NONCE)) == FAST_OK
    assert login.accepted
    assert login.password == "secret"


@pytest.mark.parametrize("passwords", [(), ("secret",), ("a", "b")])
@pytest.mark.parametrize("proof", [b"", b"\0", b"x" * 32, auth.scramble("wrong", NONCE), b"short"])
def test_a_wrong_proof_ends_the_login_whoever_the_user_is(key, passwords, proof):
    login = a_login(key, passwords)
    with pytest.raises(AccessDenied) as refused:
        login.start(c.CACHING_SHA2, proof)
    assert refused.value.number == 1045
    assert not login.accepted


def test_over_tls_the_password_itself_may_be_sent(key):
    login = a_login(key, encrypted=True)
    assert login.start(c.CACHING_SHA2, b"x" * 32) == FULL
    assert not login.accepted
    assert login.answer(b"secret\0") == b""
    assert login.accepted


@pytest.mark.parametrize("passwords", [(), ("secret",)])
@pytest.mark.parametrize("sent", [b"wrong\0", b"", b"\0", b"secret2\0"])
def test_over_tls_a_wrong_password_is_refused(key, passwords, sent):
    login = a_login(key, passwords, encrypted=True)
    login.start(c.CACHING_SHA2, b"x" * 32)
    with pytest.raises(AccessDenied):
        login.answer(sent)
    assert not login.accepted


def test_without_tls_the_password_may_be_sent_encrypted(key):
    login = a_login(key)
    asked = login.start(c.CACHING_SHA2, b"\x02")
    assert asked[:1] == b"\x01"
    sent = auth.encrypt("secret", NONCE, asked[1:])
    assert login.answer(sent) == b""
    assert login.accepted


@pytest.mark.parametrize("garbage", [b"", b"x", bytes(256), b"\xff" * 256])
def test_what_was_not_encrypted_for_this_key_is_refused(key, garbage):
    login = a_login(key)
    login.start(c.CACHING_SHA2, b"\x02")
    with pytest.raises(AccessDenied):
        login.answer(garbage)


def test_a_password_in_clear_text_is_not_asked_for_without_tls(key):
    with pytest.raises(AccessDenied):
        a_login(key).start(c.CACHING_SHA2, b"secret\0")


def test_a_client_of_another_method_is_asked_to_switch(key):
    login = a_login(key)
    switch = login.start(b"mysql_native_password", b"y" * 20)
    assert packets.read_auth_switch(switch) == (c.CACHING_SHA2, NONCE)
    assert login.answer(auth.scramble("secret", NONCE)) == FAST_OK


def test_an_empty_password_opens_nothing(key):
    with pytest.raises(AccessDenied):
        a_login(key, ("",)).start(c.CACHING_SHA2, b"")
    login = a_login(key, ("",), encrypted=True)
    login.start(c.CACHING_SHA2, b"x" * 32)
    with pytest.raises(AccessDenied):
        login.answer(b"\0")


@pytest.mark.parametrize("name", ["pymysql-full-login", "pymysql-fast-login"])
def test_the_client_goes_the_recorded_way(name):
    conversation = captures.read(name)
    login = ClientLogin("secret", conversation.greeting.nonce, is_encrypted=False)
    assert login.proof() == conversation.login.proof
    sent = []
    for who, payload in conversation.login_payloads:
        if who == "S" and (reply := login.answer(payload)) is not None:
            sent.append(reply)
    assert login.accepted
    recorded = [payload for who, payload in conversation.login_payloads if who == "C"]
    assert [len(p) for p in sent] == [len(p) for p in recorded]
    assert sent[:1] == recorded[:1]  # the second is encrypted, and never twice alike


def test_client_and_server_agree_on_each_way(key):
    for encrypted in (True, False):
        server = a_login(key, ("secret",), encrypted)
        client = ClientLogin("secret", NONCE, encrypted)
        reply = client.answer(packets.auth_switch(c.CACHING_SHA2, NONCE))
        assert client.answer(server.start(c.CACHING_SHA2, reply)) is None
        client.answer(packets.Ok().pack())
        assert client.accepted and server.accepted


def test_the_client_encrypts_with_the_key_of_the_server(key):
    client = ClientLogin("secret", NONCE, is_encrypted=False)
    assert client.answer(FULL) == b"\x02"
    sent = client.answer(packets.auth_more_data(key.public_pem))
    assert key.decrypt(sent, NONCE) == b"secret"


def test_the_client_takes_a_refusal_as_an_error():
    client = ClientLogin("secret", NONCE, is_encrypted=True)
    with pytest.raises(MysqlError) as refused:
        client.answer(packets.error_payload(1045, "28000", "Access denied"))
    assert refused.value.number == 1045
    assert not client.accepted


@pytest.mark.parametrize(
    "payload", [b"", b"\x02", b"\xfemysql_native_password\0" + NONCE, b"\x01not a key"]
)
def test_the_client_goes_no_way_it_does_not_know(payload):
    with pytest.raises(GateError):
        ClientLogin("secret", NONCE, is_encrypted=False).answer(payload)


def test_a_key_that_is_not_rsa_is_refused():
    with pytest.raises(BadHandshake):
        auth.encrypt("secret", NONCE, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")

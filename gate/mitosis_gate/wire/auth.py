"""caching_sha2_password, as server and as client, and mysql_native_password as server; no sockets.

The gate knows its users' passwords, so that a right password always takes the fast path. A client
that cannot prove it that way may send the password itself, over TLS in clear text and without TLS
encrypted with the gate's RSA key. Who fails learns only that, after the same steps: an unknown user
looks like a wrong password.
"""

import functools
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mitosis_gate.errors import AccessDenied, BadHandshake, UnsupportedLogin
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets

if TYPE_CHECKING:
    from mitosis_gate.wire.password_rsa import KeyPair

_NONCE_ALPHABET = bytes(b for b in range(1, 128) if b != ord("$"))


def new_nonce() -> bytes:
    """20 bytes; NUL would end it early and `$` divides the fields of a stored password."""
    return bytes(secrets.choice(_NONCE_ALPHABET) for _ in range(c.NONCE_BYTES))


def _xor(data: bytes, mask: bytes) -> bytes:
    repeated = mask * (len(data) // len(mask) + 1)
    return bytes(a ^ b for a, b in zip(data, repeated, strict=False))


def scramble(password: str, nonce: bytes) -> bytes:
    """What a client sends to prove that it knows the password."""
    if not password:
        return b""
    once = hashlib.sha256(password.encode()).digest()
    twice = hashlib.sha256(once).digest()
    return _xor(once, hashlib.sha256(twice + nonce).digest())


def native_scramble(password: str, nonce: bytes) -> bytes:
    """The same for mysql_native_password."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    twice = hashlib.sha1(once, usedforsecurity=False).digest()
    return _xor(once, hashlib.sha1(nonce + twice, usedforsecurity=False).digest())


class ServerKey:
    """The RSA key that protects passwords on connections without TLS, made when a client asks.

    A client does only after a wrong password, or when told to: so most gates never need the key
    and the library for it, which is 8 MB of memory.
    """

    @functools.cached_property
    def _pair(self) -> "KeyPair":
        from mitosis_gate.wire.password_rsa import KeyPair

        return KeyPair()

    @property
    def public_pem(self) -> bytes:
        return self._pair.public_pem

    def decrypt(self, data: bytes, nonce: bytes) -> bytes:
        """Return the password; empty when it was not encrypted for this key."""
        return _xor(self._pair.decrypt(data), nonce).removesuffix(b"\0")


def encrypt(password: str, nonce: bytes, public_pem: bytes) -> bytes:
    """Raises BadHandshake for a key that is none."""
    from mitosis_gate.wire import password_rsa

    return password_rsa.encrypt(_xor(password.encode() + b"\0", nonce), public_pem)


class ServerLogin:
    """The gate's part of one login, after the client named its user.

    Feed each payload of the client to `answer`; `accepted` tells when it is proven, and `password`
    then says with which. Raises AccessDenied once, after which the connection must end.
    """

    def __init__(
        self,
        user: str,
        host: str,
        passwords: Sequence[str],
        nonce: bytes,
        key: ServerKey,
        is_encrypted: bool,
        takes_native: bool = False,
    ) -> None:
        """`takes_native`: mysql_native_password is as good, for clients that name it."""
        self._who = f"'{user}'@'{host}'"
        self._passwords = passwords
        self._nonce = nonce
        self._key = key
        self._is_encrypted = is_encrypted
        self._takes_native = takes_native
        self._step: Callable[[ServerLogin, bytes], bytes] = ServerLogin._proof
        self.accepted = False
        self.password = ""

    def start(self, plugin: bytes, proof: bytes) -> bytes:
        """Answer the login packet; a client of another method is asked to switch."""
        if self._takes_native and plugin in (c.NATIVE_PASSWORD, b""):
            return self._native(proof)
        if plugin != c.CACHING_SHA2:
            return packets.auth_switch(c.CACHING_SHA2, self._nonce)
        return self.answer(proof)

    def answer(self, payload: bytes) -> bytes:
        """Return what to send: one payload, b"" when the login is accepted without another."""
        step = self._step  # a function, not a method: that would be a cycle for each login
        return step(self, payload)

    def _proof(self, proof: bytes) -> bytes:
        if proof == bytes((c.REQUEST_PUBLIC_KEY,)) and not self._is_encrypted:
            return self._send_key()
        if len(proof) == hashlib.sha256().digest_size and self._is_proven(proof):
            self.accepted = True
            return packets.auth_more_data(bytes((c.FAST_AUTH_OK,)))
        if proof and self._is_encrypted:
            self._step = ServerLogin._clear_text
            return packets.auth_more_data(bytes((c.FULL_AUTH_NEEDED,)))
        raise self._denied(bool(proof))

    def _native(self, proof: bytes) -> bytes:
        for password in (secrets.token_hex(8), *self._passwords):
            if hmac.compare_digest(native_scramble(password, self._nonce), proof):
                self.password = password
        if not self.password:
            raise self._denied(bool(proof))
        self.accepted = True
        return b""

    def _is_proven(self, proof: bytes) -> bool:
        """Compare with every password, and with one of nobody, in the same time."""
        for password in (secrets.token_hex(8), *self._passwords):
            if hmac.compare_digest(scramble(password, self._nonce), proof):
                self.password = password
        return bool(self.password)

    def _clear_text(self, payload: bytes) -> bytes:
        return self._full(payload.removesuffix(b"\0"))

    def _send_key(self) -> bytes:
        self._step = ServerLogin._encrypted
        return packets.auth_more_data(self._key.public_pem)

    def _encrypted(self, payload: bytes) -> bytes:
        return self._full(self._key.decrypt(payload, self._nonce))

    def _full(self, given: bytes) -> bytes:
        for password in (secrets.token_hex(8), *self._passwords):
            if hmac.compare_digest(password.encode(), given):
                self.password = password
        if not self.password:
            raise self._denied(bool(given))
        self.accepted = True
        return b""

    def _denied(self, with_password: bool) -> AccessDenied:
        used = "YES" if with_password else "NO"
        return AccessDenied(f"Access denied for user {self._who} (using password: {used})")


class ClientLogin:
    """The gate's part of a login at a backend; feed it what the backend says after the login."""

    def __init__(self, password: str, nonce: bytes, is_encrypted: bool) -> None:
        self._password = password
        self._nonce = nonce
        self._is_encrypted = is_encrypted
        self.accepted = False

    def proof(self) -> bytes:
        return scramble(self._password, self._nonce)

    def answer(self, payload: bytes) -> bytes | None:
        """Return the payload to send, None for nothing; raises MysqlError for a refusal."""
        first = payload[:1]
        if first == b"\x00":
            self.accepted = True
            return None
        if first == b"\xff":
            raise packets.error(payload)
        if first == b"\xfe":
            plugin, self._nonce = packets.read_auth_switch(payload)
            if plugin != c.CACHING_SHA2:
                raise UnsupportedLogin(f"the server asks for {plugin.decode('latin1')}")
            return self.proof()
        if first == b"\x01":
            return self._more(payload[1:])
        raise BadHandshake("the server sent an unknown packet during login")

    def _more(self, data: bytes) -> bytes | None:
        if data == bytes((c.FAST_AUTH_OK,)):
            return None
        if data == bytes((c.FULL_AUTH_NEEDED,)):
            if self._is_encrypted:
                return self._password.encode() + b"\0"
            return bytes((c.REQUEST_PUBLIC_KEY,))
        return encrypt(self._password, self._nonce, data)

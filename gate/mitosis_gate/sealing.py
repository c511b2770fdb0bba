"""Messages between the gates of a release, closed with the key that only they know.

Nobody else can make one. A question carries its time and a random id, so that a copy of it is
refused; an answer is closed for that very question. What is secret is encrypted as well (AES-GCM);
what is not is signed only (HMAC-SHA256): a gate that is never asked for more needs no library for
encryption, which is 8 MB of its memory.
"""

import functools
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Message = Mapping[str, Any]
_NONCE_BYTES = 12
_SIGNED = b"mitosis signed: "
"""How messages begin that are signed only; a nonce is random and shorter."""
_AGE_SECONDS = 60.0
"""How far the clocks of two gates may be apart, and how long an id of a question is remembered."""
_NOT_OURS = "it was not sealed with the key of this release"


def is_sealed(data: bytes) -> bool:
    """Whether the message is encrypted."""
    return not data.startswith(_SIGNED)


class BadSeal(Exception):
    """Not sealed with our key, not for this question, or seen before."""


class Seal:
    """Closes and opens messages with the key of the release."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"mitosis gate peers\0" + secret).digest()
        self._signing_key = hashlib.sha256(b"mitosis gate peers, signed\0" + secret).digest()
        self._seen: dict[str, float] = {}

    @functools.cached_property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key)

    def question(self, message: Message, is_secret: bool = True) -> tuple[bytes, str]:
        """Return what to send, and the id that the answer must be sealed for."""
        number = secrets.token_hex(16)
        whole = {"at": time.time(), "id": number, "body": message}
        return self._close(whole, "question", is_secret), number

    def open_question(self, data: bytes) -> tuple[Message, str]:
        """Raises BadSeal, also for one that is old or came before."""
        found = self._open(data, "question")
        now = time.time()
        age = abs(now - float(found["at"]))
        number = str(found["id"])
        if age > _AGE_SECONDS:
            raise BadSeal(f"the question is {age:.0f} s old: look at the clocks of the gates")
        self._seen = {k: at for k, at in self._seen.items() if now - at < 2 * _AGE_SECONDS}
        if number in self._seen:
            raise BadSeal("the question came before")
        self._seen[number] = now
        return found["body"], number

    def answer(self, message: Sequence[Message], number: str, is_secret: bool = True) -> bytes:
        return self._close({"body": message}, number, is_secret)

    def open_answer(self, data: bytes, number: str) -> Sequence[Message]:
        found: Sequence[Message] = self._open(data, number)["body"]
        return found

    def _close(self, message: Message, use: str, is_secret: bool) -> bytes:
        text = json.dumps(message).encode()
        if not is_secret:
            return _SIGNED + self._signature(text, use) + text
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text, use.encode())

    def _open(self, data: bytes, use: str) -> Mapping[str, Any]:
        text = self._decrypted(data, use) if is_sealed(data) else self._verified(data, use)
        try:
            found: Mapping[str, Any] = json.loads(text)
        except ValueError as exc:
            raise BadSeal("what was sealed is no message") from exc
        return found

    def _decrypted(self, data: bytes, use: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        nonce, sealed = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, use.encode())
        except (InvalidTag, ValueError) as exc:
            raise BadSeal(_NOT_OURS) from exc

    def _signature(self, text: bytes, use: str) -> bytes:
        return hmac.digest(self._signing_key, use.encode() + b"\0" + text, "sha256")

    def _verified(self, data: bytes, use: str) -> bytes:
        end = len(_SIGNED) + hashlib.sha256().digest_size
        text = data[end:]
        if not hmac.compare_digest(data[len(_SIGNED) : end], self._signature(text, use)):
            raise BadSeal(_NOT_OURS)
        return text

"""RSA-OAEP as caching_sha2_password has it; imported when the first password comes that way."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mitosis_gate.errors import BadHandshake

_BITS = 2048
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)


class KeyPair:
    def __init__(self) -> None:
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
        self.public_pem = self._private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def decrypt(self, data: bytes) -> bytes:
        """Empty when it was not encrypted for this key."""
        try:
            return self._private.decrypt(data, _OAEP)
        except ValueError:
            return b""


def encrypt(data: bytes, public_pem: bytes) -> bytes:
    """Raises BadHandshake for a key that is none."""
    try:
        key = serialization.load_pem_public_key(public_pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise BadHandshake("the server sent a key that cannot be read") from exc
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadHandshake("the server sent a key that is not RSA")
    return key.encrypt(data, _OAEP)

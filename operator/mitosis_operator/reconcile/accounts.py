"""The accounts that a shard's primary should have, and which passwords are still missing. Pure."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mitosis_operator.models.keyspace import Keyspace, User
from mitosis_operator.mysql.instance import Accounts, UserGrant
from mitosis_routing import shard_objects

LONGEST_PASSWORD = 256


@dataclass(frozen=True, repr=False)
class Passwords:
    """Contents of Secrets by name and key; a Secret that is not there is not in it."""

    secrets: Mapping[str, Mapping[str, bytes]]

    def of(self, user: User) -> str:
        """Empty when there is none that can be used."""
        return _text(self.secrets.get(user.password.name, {}).get(user.password.key, b""))


def missing(keyspace: Keyspace, passwords: Passwords) -> str:
    """Which users cannot have their account yet, and what helps; empty when all can."""
    told = []
    for user in keyspace.users:
        secret = user.password
        if passwords.of(user):
            continue
        if secret.name not in passwords.secrets:
            told.append(
                f"Secret {secret.name} with the password of user {user.name} does not exist: "
                f"make it with the key {secret.key}"
            )
        else:
            told.append(
                f"Secret {secret.name} has no usable password under the key {secret.key} for user "
                f"{user.name}: put text without a line break there, at most {LONGEST_PASSWORD} long"
            )
    return "; ".join(told)


def wanted(
    keyspace: Keyspace,
    system: Mapping[str, bytes],
    passwords: Passwords,
    serials: Iterable[int],
) -> Accounts:
    """Users without a password are left out. The hash changes with everything that matters, and
    tells nothing about passwords to who does not know those of the system accounts."""
    users = tuple(
        UserGrant(user.name, passwords.of(user), tuple(g.value for g in user.grants))
        for user in keyspace.users
        if passwords.of(user)
    )
    ordered = tuple(sorted(set(serials)))
    facts = [
        keyspace.name,
        [[u.name, u.password, list(u.grants)] for u in users],
        list(ordered),
        {key: _text(value) for key, value in sorted(system.items())},
        shard_objects.VERSION,
    ]
    digest = hmac.new(system.get("gate", b""), json.dumps(facts).encode(), hashlib.sha256)
    return Accounts(keyspace.name, users, ordered, digest.hexdigest()[:32])


def _text(value: bytes) -> str:
    """Taken as it is; a line break in it is a mistake of whoever made the Secret."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= LONGEST_PASSWORD and "\n" not in text else ""

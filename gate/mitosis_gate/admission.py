"""What a connection must be like for a user who has shown the right password."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from mitosis_gate.backends.account import Account
from mitosis_gate.errors import AccessDenied
from mitosis_routing.table import UserRef, UserTls

_SHORT = {
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "commonName": "CN",
    "emailAddress": "emailAddress",
}


def subject_of(certificate: Mapping[str, Any]) -> str:
    """Of a certificate as `ssl` shows it, written as MySQL does: `/C=SE/O=shop/CN=app`."""
    parts = [pair for group in certificate.get("subject", ()) for pair in group]
    return "".join(f"/{_SHORT.get(name, name)}={value}" for name, value in parts)


def certificate_of(tls: ssl.SSLObject | None) -> Mapping[str, Any]:
    """What the client has shown and our authority for clients has signed; empty: nothing."""
    return (tls.getpeercert() if tls is not None else None) or {}


def why_not(user: UserRef, tls: ssl.SSLObject | None) -> str:
    """What this connection lacks for this user; empty: nothing."""
    if user.tls is UserTls.NONE:
        return ""
    if tls is None:
        return "this user must connect with TLS"
    if user.tls is UserTls.REQUIRED:
        return ""
    certificate = certificate_of(tls)
    if not certificate:
        return "this user must show a certificate"
    if user.tls_subject and subject_of(certificate) != user.tls_subject:
        return f"the certificate of this user must be for {user.tls_subject}"
    return ""


def admitted(
    opened: Sequence[Account],
    users: Mapping[Account, UserRef | None],
    tls: ssl.SSLObject | None,
    host: str,
) -> tuple[Account, ...]:
    """Those of the accounts for which the connection is good enough. Raises AccessDenied."""
    refusals = {a: why_not(ref, tls) if (ref := users.get(a)) else "" for a in opened}
    found = tuple(account for account, refusal in refusals.items() if not refusal)
    if not found:
        account, refusal = next(iter(refusals.items()))
        raise AccessDenied(
            f"Access denied for user '{account.user}'@'{host}' (using password: YES): {refusal}"
        )
    return found

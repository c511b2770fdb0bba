"""COM_CHANGE_USER: a login in the middle of a connection.

The client is always asked for its proof anew, over a nonce of its own: a proof that was made for
the first login could have been recorded. Until it has come, nothing but a proof is read.
"""

from collections.abc import Sequence

from mitosis_gate.backends.account import Account
from mitosis_gate.errors import AccessDeniedToDatabase, BadHandshake, UnknownDatabase
from mitosis_gate.session.services import Services, Sessions
from mitosis_gate.wire import auth, charsets, packets
from mitosis_gate.wire import constants as c

FIRST_ANSWER = 2
"""Number of the client's packet that answers the question for its proof."""


class UserChange:
    """One login under way; `answer` takes each payload of the client."""

    def __init__(
        self,
        services: Services,
        sessions: Sessions,
        login: packets.Login,
        peer: str,
        is_encrypted: bool,
    ) -> None:
        self.login = login
        self._services = services
        self._candidates: Sequence[Account] = services.accounts.named(login.user)
        self._nonce = auth.new_nonce()
        self._proof = auth.ServerLogin(
            login.user,
            peer.rpartition(":")[0],
            [a.password for a in self._candidates],
            self._nonce,
            sessions.key,
            is_encrypted,
        )

    def question(self) -> bytes:
        """The payload that asks for the proof."""
        return packets.auth_switch(c.CACHING_SHA2, self._nonce)

    def answer(self, payload: bytes) -> bytes:
        """What to send next, maybe nothing; raises LoginRefused."""
        return self._proof.answer(payload)

    @property
    def is_accepted(self) -> bool:
        return self._proof.accepted

    def accounts(self) -> tuple[Account, ...]:
        """Those that the proven password opens; raises LoginRefused or Refused for the database."""
        opened = tuple(a for a in self._candidates if a.password == self._proof.password)
        login = self.login
        if login.database and not self._services.topology.knows(login.database):
            raise UnknownDatabase(f"Unknown database '{login.database}'")
        if login.database and all(a.keyspace != login.database for a in opened):
            raise AccessDeniedToDatabase(
                f"Access denied for user '{login.user}' to database '{login.database}'"
            )
        if login.charset and charsets.by_id(login.charset) is None:
            raise BadHandshake(
                f"the gate does not take character set {login.charset} from clients: use utf8mb4"
            )
        return opened

"""Payloads of the MySQL protocol to values and back; headers are the codec's business."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mitosis_gate.errors import BadHandshake, GateError, MalformedPacket, MysqlError
from mitosis_gate.wire import constants as c
from mitosis_gate.wire.codec import (
    lenenc,
    lenenc_bytes,
    read_int,
    read_lenenc,
    read_lenenc_bytes,
    read_until_nul,
)


@dataclass(frozen=True)
class Greeting:
    """Handshake v10: what a server says first."""

    server_version: str
    connection_id: int
    nonce: bytes
    capabilities: int
    charset: int
    status: int
    plugin: bytes

    def pack(self) -> bytes:
        low, high = self.capabilities & 0xFFFF, self.capabilities >> 16
        return b"".join(
            (
                bytes((c.PROTOCOL_VERSION,)),
                self.server_version.encode() + b"\0",
                (self.connection_id & 0xFFFFFFFF).to_bytes(4, "little"),
                self.nonce[:8] + b"\0",
                low.to_bytes(2, "little"),
                bytes((self.charset & 0xFF,)),
                self.status.to_bytes(2, "little"),
                high.to_bytes(2, "little"),
                bytes((len(self.nonce) + 1,)),
                bytes(10),
                self.nonce[8:] + b"\0",
                self.plugin + b"\0",
            )
        )


def greeting(payload: bytes) -> Greeting:
    if payload[:1] == b"\xff":
        raise error(payload)
    if payload[:1] != bytes((c.PROTOCOL_VERSION,)):
        raise MalformedPacket("the server does not speak version 10 of the protocol")
    version, at = read_until_nul(payload, 1)
    connection_id, at = read_int(payload, at, 4)
    first, at = payload[at : at + 8], at + 9
    low, at = read_int(payload, at, 2)
    charset, at = read_int(payload, at, 1)
    status, at = read_int(payload, at, 2)
    high, at = read_int(payload, at, 2)
    size, at = read_int(payload, at, 1)
    at += 10
    second_size = max(13, size - 8)
    second = payload[at : at + second_size]
    plugin = payload[at + second_size :].split(b"\0")[0]
    return Greeting(
        version.decode("latin1"),
        connection_id,
        (first + second)[: c.NONCE_BYTES],
        low | high << 16,
        charset,
        status,
        plugin,
    )


@dataclass(frozen=True)
class Login:
    """Handshake response 41: what a client answers."""

    capabilities: int
    max_packet: int
    charset: int
    user: str = ""
    proof: bytes = field(default=b"", repr=False)
    database: str = ""
    plugin: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    compression_level: int = 0
    """Of zstd, for clients that ask for it."""

    def pack(self) -> bytes:
        parts = [_login_head(self.capabilities, self.max_packet, self.charset)]
        parts.append(self.user.encode() + b"\0")
        parts.append(lenenc_bytes(self.proof))
        if self.capabilities & c.CLIENT_CONNECT_WITH_DB:
            parts.append(self.database.encode() + b"\0")
        if self.capabilities & c.CLIENT_PLUGIN_AUTH:
            parts.append(self.plugin + b"\0")
        if self.capabilities & c.CLIENT_CONNECT_ATTRS:
            pairs = b"".join(
                lenenc_bytes(k.encode()) + lenenc_bytes(v.encode())
                for k, v in self.attributes.items()
            )
            parts.append(lenenc_bytes(pairs))
        return b"".join(parts)


def _login_head(capabilities: int, max_packet: int, charset: int) -> bytes:
    return (
        capabilities.to_bytes(4, "little")
        + max_packet.to_bytes(4, "little")
        + bytes((charset & 0xFF,))
        + bytes(23)
    )


def tls_request(capabilities: int, max_packet: int, charset: int) -> bytes:
    return _login_head(capabilities | c.CLIENT_SSL, max_packet, charset)


LOGIN_HEAD_BYTES = 32


def login(payload: bytes) -> Login:
    """Read a handshake response; one of 32 bytes is a request for TLS and names no user."""
    if len(payload) < LOGIN_HEAD_BYTES:
        raise BadHandshake("the login packet is too short for protocol 4.1")
    capabilities = int.from_bytes(payload[:4], "little")
    if not capabilities & c.CLIENT_PROTOCOL_41:
        raise BadHandshake("the client does not speak protocol 4.1: use a newer one")
    max_packet = int.from_bytes(payload[4:8], "little")
    charset = payload[8]
    if len(payload) == LOGIN_HEAD_BYTES:
        return Login(capabilities, max_packet, charset)
    try:
        return _login_rest(payload, capabilities, max_packet, charset)
    except MalformedPacket as exc:
        raise BadHandshake(f"the login packet is broken: {exc.text}") from exc
    except UnicodeDecodeError as exc:
        raise BadHandshake("a name in the login packet is not UTF-8") from exc


def _login_rest(payload: bytes, capabilities: int, max_packet: int, charset: int) -> Login:
    user, at = read_until_nul(payload, LOGIN_HEAD_BYTES)
    if capabilities & c.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA:
        proof, at = read_lenenc_bytes(payload, at)
    elif capabilities & c.CLIENT_SECURE_CONNECTION:
        size, at = read_int(payload, at, 1)
        proof, at = payload[at : at + size], at + size
        if at > len(payload):
            raise MalformedPacket("the proof of the password is cut off")
    else:
        proof, at = read_until_nul(payload, at)
    database = plugin = b""
    attributes: dict[str, str] = {}
    if capabilities & c.CLIENT_CONNECT_WITH_DB and at < len(payload):
        database, at = _nul_or_end(payload, at)
    if capabilities & c.CLIENT_PLUGIN_AUTH and at < len(payload):
        plugin, at = _nul_or_end(payload, at)
    if capabilities & c.CLIENT_CONNECT_ATTRS and at < len(payload):
        pairs, at = read_lenenc_bytes(payload, at)
        attributes = _attributes(pairs)
    level = 0
    if capabilities & c.CLIENT_ZSTD_COMPRESSION_ALGORITHM and at < len(payload):
        level = payload[at]
    return Login(
        capabilities,
        max_packet,
        charset,
        user.decode(),
        proof,
        database.decode(),
        plugin,
        attributes,
        level,
    )


def change_user(payload: bytes, capabilities: int) -> Login:
    """Read a COM_CHANGE_USER; a character set of 0 means that the client did not say."""
    try:
        user, at = read_until_nul(payload, 1)
        size, at = read_int(payload, at, 1)
        proof, at = payload[at : at + size], at + size
        database, at = _nul_or_end(payload, at)
        charset, plugin = 0, b""
        attributes: dict[str, str] = {}
        if at + 2 <= len(payload):
            charset, at = read_int(payload, at, 2)
        if capabilities & c.CLIENT_PLUGIN_AUTH and at < len(payload):
            plugin, at = _nul_or_end(payload, at)
        if capabilities & c.CLIENT_CONNECT_ATTRS and at < len(payload):
            pairs, at = read_lenenc_bytes(payload, at)
            attributes = _attributes(pairs)
        return Login(
            capabilities, 0, charset, user.decode(), proof, database.decode(), plugin, attributes
        )
    except UnicodeDecodeError as exc:
        raise MalformedPacket("a name in COM_CHANGE_USER is not UTF-8") from exc


def _nul_or_end(payload: bytes, at: int) -> tuple[bytes, int]:
    """Some clients leave out the NUL of the last string."""
    end = payload.find(b"\0", at)
    return (payload[at:], len(payload)) if end < 0 else (payload[at:end], end + 1)


def _attributes(pairs: bytes) -> dict[str, str]:
    found = {}
    at = 0
    while at < len(pairs):
        name, at = read_lenenc_bytes(pairs, at)
        value, at = read_lenenc_bytes(pairs, at)
        found[name.decode(errors="replace")] = value.decode(errors="replace")
    return found


def auth_switch(plugin: bytes, nonce: bytes) -> bytes:
    return b"\xfe" + plugin + b"\0" + nonce + b"\0"


def read_auth_switch(payload: bytes) -> tuple[bytes, bytes]:
    """Return plugin and nonce."""
    plugin, at = read_until_nul(payload, 1)
    return plugin, payload[at:].removesuffix(b"\0")


def auth_more_data(data: bytes) -> bytes:
    return b"\x01" + data


@dataclass(frozen=True)
class SessionChanges:
    """What an OK packet says has changed in the session of the server."""

    variables: Mapping[str, bytes] = field(default_factory=dict)
    schema: str | None = None
    gtid: bytes = b""
    transaction_state: bytes = b""


NO_CHANGES = SessionChanges()


@dataclass(frozen=True)
class Ok:
    affected: int = 0
    last_insert_id: int = 0
    status: int = c.STATUS_AUTOCOMMIT
    warnings: int = 0
    info: bytes = b""
    changes: SessionChanges = NO_CHANGES

    def pack(self, first: int = c.OK) -> bytes:
        """Without session state. `first` is EOF at the end of rows for clients without EOF."""
        return b"".join(
            (
                bytes((first,)),
                lenenc(self.affected),
                lenenc(self.last_insert_id),
                (self.status & ~c.STATUS_SESSION_STATE_CHANGED).to_bytes(2, "little"),
                min(self.warnings, 0xFFFF).to_bytes(2, "little"),
                lenenc_bytes(self.info) if self.info else b"",
            )
        )


@functools.lru_cache(maxsize=64)
def plain_ok(status: int) -> bytes:
    """Nothing affected, nothing to tell."""
    return Ok(status=status).pack()


def is_short_ok(payload: bytes) -> bool:
    """Whether it says nothing but two small numbers, status and warnings: each has its place."""
    return len(payload) == 7 and payload[1] < 0xFB and payload[2] < 0xFB


def status_and_warnings(payload: bytes) -> tuple[int, int]:
    """Of an OK packet, also one that ends rows."""
    if len(payload) >= 7 and payload[1] < 0xFB and payload[2] < 0xFB:
        return payload[3] | payload[4] << 8, payload[5] | payload[6] << 8
    found = ok(payload, False)
    return found.status, found.warnings


def without_session_state(payload: bytes) -> bytes:
    """An OK packet for a client that did not agree to session tracking."""
    has_places = len(payload) >= 7 and payload[1] < 0xFB and payload[2] < 0xFB
    if has_places and payload[7:8] in (b"", b"\0"):
        changed = c.STATUS_SESSION_STATE_CHANGED >> 8
        return bytes((*payload[:4], payload[4] & ~changed, *payload[5:7]))
    return ok(payload, False).pack(payload[0])


def ok(payload: bytes, tracks: bool) -> Ok:
    """Read an OK packet, also one that ends rows; `tracks`: CLIENT_SESSION_TRACK was agreed."""
    if is_short_ok(payload):
        status, warnings = payload[3] | payload[4] << 8, payload[5] | payload[6] << 8
        return Ok(payload[1], payload[2], status, warnings)
    affected, at = read_lenenc(payload, 1)
    last_insert_id, at = read_lenenc(payload, at)
    status, at = read_int(payload, at, 2)
    warnings, at = read_int(payload, at, 2)
    if at == len(payload):
        return Ok(affected, last_insert_id, status, warnings)
    info, at = read_lenenc_bytes(payload, at)
    changes = NO_CHANGES
    if tracks and status & c.STATUS_SESSION_STATE_CHANGED and at < len(payload):
        block, at = read_lenenc_bytes(payload, at)
        changes = session_changes(block)
    return Ok(affected, last_insert_id, status, warnings, info, changes)


def session_changes(block: bytes) -> SessionChanges:
    variables: dict[str, bytes] = {}
    schema: str | None = None
    gtid = transaction_state = b""
    at = 0
    while at < len(block):
        kind = block[at]
        entry, at = read_lenenc_bytes(block, at + 1)
        if kind == c.TRACK_SYSTEM_VARIABLES:
            inner = 0
            while inner < len(entry):
                name, inner = read_lenenc_bytes(entry, inner)
                variables[name.decode("latin1")], inner = read_lenenc_bytes(entry, inner)
        elif kind == c.TRACK_SCHEMA:
            schema = read_lenenc_bytes(entry, 0)[0].decode(errors="replace")
        elif kind == c.TRACK_GTIDS:
            gtid = read_lenenc_bytes(entry, 1)[0]
        elif kind == c.TRACK_TRANSACTION_STATE:
            transaction_state = read_lenenc_bytes(entry, 0)[0]
    return SessionChanges(variables, schema, gtid, transaction_state)


def eof(status: int, warnings: int = 0) -> bytes:
    return b"\xfe" + min(warnings, 0xFFFF).to_bytes(2, "little") + status.to_bytes(2, "little")


def read_eof(payload: bytes) -> Ok:
    """An EOF packet as the OK packet that later versions of the protocol have in its place."""
    warnings, at = read_int(payload, 1, 2)
    status, _ = read_int(payload, at, 2)
    return Ok(status=status, warnings=warnings)


def error_packet(problem: GateError) -> bytes:
    return error_payload(problem.number, problem.state, problem.message)


def error_payload(number: int, state: str, message: str) -> bytes:
    text = message.encode()[:0xFFFF]
    return b"\xff" + number.to_bytes(2, "little") + b"#" + state.encode("ascii") + text


def error(payload: bytes) -> MysqlError:
    number, at = read_int(payload, 1, 2)
    state = "HY000"
    if payload[at : at + 1] == b"#":
        state = payload[at + 1 : at + 6].decode("latin1")
        at += 6
    return MysqlError(number, state, payload[at:].decode(errors="replace"))


@dataclass(frozen=True)
class Column:
    """One column definition; `type`, `charset` and `flags` as in `wire.constants`."""

    name: str
    type: int = c.TYPE_VAR_STRING
    charset: int = 255
    length: int = 0
    flags: int = 0
    decimals: int = 0
    schema: str = ""
    table: str = ""
    original_table: str = ""
    original_name: str = ""

    def pack(self) -> bytes:
        names = (self.schema, self.table, self.original_table, self.name, self.original_name)
        return b"".join(
            (
                b"\x03def",
                *(lenenc_bytes(n.encode()) for n in names),
                b"\x0c",
                self.charset.to_bytes(2, "little"),
                self.length.to_bytes(4, "little"),
                bytes((self.type,)),
                self.flags.to_bytes(2, "little"),
                bytes((self.decimals, 0, 0)),
            )
        )


def column(payload: bytes) -> Column:
    names = []
    at = 0
    for _ in range(6):
        name, at = read_lenenc_bytes(payload, at)
        names.append(name.decode(errors="replace"))
    _, schema, table, original_table, shown, original_name = names
    _, at = read_lenenc(payload, at)
    charset, at = read_int(payload, at, 2)
    length, at = read_int(payload, at, 4)
    kind, at = read_int(payload, at, 1)
    flags, at = read_int(payload, at, 2)
    decimals, at = read_int(payload, at, 1)
    return Column(
        shown, kind, charset, length, flags, decimals, schema, table, original_table, original_name
    )


def text_row(values: Iterable[bytes | None]) -> bytes:
    return b"".join(b"\xfb" if v is None else lenenc_bytes(v) for v in values)


def read_text_row(payload: bytes) -> list[bytes | None]:
    values: list[bytes | None] = []
    at = 0
    while at < len(payload):
        if payload[at] == 0xFB:
            values.append(None)
            at += 1
        else:
            value, at = read_lenenc_bytes(payload, at)
            values.append(value)
    return values


@dataclass(frozen=True)
class Prepared:
    """First packet of the answer to COM_STMT_PREPARE."""

    statement_id: int
    columns: int
    parameters: int
    warnings: int = 0

    def pack(self) -> bytes:
        return b"".join(
            (
                b"\0",
                self.statement_id.to_bytes(4, "little"),
                self.columns.to_bytes(2, "little"),
                self.parameters.to_bytes(2, "little"),
                b"\0",
                self.warnings.to_bytes(2, "little"),
            )
        )


def prepared(payload: bytes) -> Prepared:
    statement_id, at = read_int(payload, 1, 4)
    columns, at = read_int(payload, at, 2)
    parameters, at = read_int(payload, at, 2)
    warnings = read_int(payload, at + 1, 2)[0] if len(payload) >= at + 3 else 0
    return Prepared(statement_id, columns, parameters, warnings)


def result_set(
    columns: Sequence[bytes], rows: Iterable[bytes], status: int, warnings: int, ends_with_ok: bool
) -> list[bytes]:
    """Payloads of a whole result in the text protocol; `ends_with_ok`: CLIENT_DEPRECATE_EOF."""
    payloads = result_head(columns, status, ends_with_ok)
    payloads.extend(rows)
    payloads.append(result_end(status, warnings, ends_with_ok))
    return payloads


def result_head(columns: Sequence[bytes], status: int, ends_with_ok: bool) -> list[bytes]:
    payloads = [lenenc(len(columns)), *columns]
    if not ends_with_ok:
        payloads.append(eof(status))
    return payloads


def result_end(status: int, warnings: int, ends_with_ok: bool) -> bytes:
    if ends_with_ok:
        return Ok(status=status, warnings=warnings).pack(c.EOF)
    return eof(status, warnings)

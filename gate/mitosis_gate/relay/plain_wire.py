"""What `wire` has from the compiled part; without that nothing makes one of these."""

import asyncio


class Watch:
    """Wires that are read; only the compiled part has any."""

    def fileno(self) -> int:
        """Readable while a wire is."""
        raise NotImplementedError

    def run(self) -> None:
        """Serve all wires that have something to read, each once."""
        raise NotImplementedError


class WireState:
    """What is known of a wire, and its methods in C."""

    inner: asyncio.Transport
    protocol: asyncio.Protocol

    __slots__ = ()

    def attach(
        self, inner: asyncio.Transport, protocol: asyncio.Protocol, watch: Watch, fd: int
    ) -> None:
        """Once, before everything else; `fd` is the descriptor of `inner`."""
        raise NotImplementedError

    def watch(self) -> None:
        """Read it from now on; no effect after `detach`."""
        raise NotImplementedError

    def unwatch(self) -> None:
        raise NotImplementedError

    def detach(self) -> None:
        """Leave the descriptor to `inner` alone, which may close it."""
        raise NotImplementedError

    def write(self, data: bytes | bytearray | memoryview) -> None:
        raise NotImplementedError

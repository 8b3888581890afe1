"""Addresses of the proposer server: ``unix:/path`` and ``tcp:host:port``.

Owns: reading and writing them, listening on them, connecting to them.  Does not own: what is said (`server`).
"""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pysr_neural.errors import ConfigError

BACKLOG = 64
UNIX_PATH_LIMIT = 100
"""Longest path of a Unix socket that every platform takes, in bytes."""


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Parameters
    ----------
    path : str or None
        Of a Unix socket.
    host : str
    port : int
        0 lets the system choose when listening.
    """

    path: str | None = None
    host: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``unix:/path`` or ``tcp:host:port``.

        Raises
        ------
        ConfigError
            If it is neither.
        """
        scheme, _, rest = text.partition(":")
        if scheme == "unix" and rest:
            return cls(path=rest)
        host, _, port = rest.rpartition(":")
        if scheme == "tcp" and host and port.isdigit() and int(port) < 65536:
            return cls(host=host, port=int(port))
        raise ConfigError(f"An address must read unix:/path or tcp:host:port; got {text!r}.")

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path is not None else f"tcp:{self.host}:{self.port}"

    def listen(self) -> socket.socket:
        """Open a listening socket; only the user may connect to a Unix one."""
        if self.path is None:
            listener = socket.create_server((_interface(self.host), self.port), backlog=BACKLOG)
        else:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(self.path)
            os.chmod(self.path, 0o600)
            listener.listen(BACKLOG)
        return listener

    def bound(self, listener: socket.socket) -> "Address":
        """Return the address with the port that the system chose."""
        return self if self.path is not None else Address(host=self.host, port=listener.getsockname()[1])

    def connect(self, timeout: float | None = None) -> socket.socket:
        """Open a connection; `OSError` if nobody listens."""
        if self.path is None:
            return socket.create_connection((self.host, self.port), timeout=timeout)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection

    def remove(self) -> None:
        """Remove a Unix socket's file; nothing to do for TCP."""
        if self.path is not None:
            with suppress(OSError):
                Path(self.path).unlink()


def _interface(host: str) -> str:
    """Return where those who connect to a host are heard: everywhere, if it knows itself by a loopback address only."""
    own = host in (socket.gethostname(), socket.getfqdn()) and not host.startswith("localhost")
    return "" if own and socket.gethostbyname(host).startswith("127.") else host

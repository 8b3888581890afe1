"""Servers that misbehave in one way each, for the searches that must survive them."""

import threading

import numpy as np

from pysr_neural.config import NeuralProposer
from pysr_neural.interop.addresses import Address
from pysr_neural.state import KINDS
from pysr_neural.wire.frames import Frame, MessageType, frame, pack, read_frame


def batch(message: Frame, **changed: object) -> Frame:
    """An answer without children, but for what is changed."""
    fields = {
        "search": message.fields["search"],
        "lengths": [],
        "codes": [],
        "constants": [],
        "kinds": [],
        "parents": np.zeros((0, 2)),
        "log_probabilities": [],
        "leave_noise": [],
        "explained": 0,
        "kind_weights": [],
        "crossover_probability": np.nan,
        "parent_weights": [],
        "operator_weights": [],
        "variable_weights": [],
        "pair_weights": [],
        "elapsed": 0.001,
    }
    return frame(MessageType.BATCH, message.request, **{**fields, **changed})


def children(message: Frame, trees: list[tuple[list[int], list[float]]], **changed: object) -> Frame:
    """An answer with these children, given as codes and constants, right or wrong."""
    return batch(
        message,
        lengths=[len(codes) for codes, _ in trees],
        codes=[c for codes, _ in trees for c in codes],
        constants=[c for _, constants in trees for c in constants],
        kinds=[KINDS.index("neural")] * len(trees),
        parents=np.full((len(trees), 2), -1),
        log_probabilities=[-1.0] * len(trees),
        leave_noise=[0] * len(trees),
        **changed,
    )


class FakeServer:
    """Welcomes and opens like the real one; what it answers to a REQUEST is up to ``answer``.

    ``answer(message)`` returns bytes, a frame, None (close the connection) or "hang"; ``welcome=False`` never says a
    word.  It has the interface of a server handle, so that the plugin can be pointed at it.
    """

    token = "fake"

    def __init__(self, answer, welcome: bool = True, directory=None) -> None:
        self._answer, self._welcome = answer, welcome
        address = Address(path=str(directory / "fake.sock")) if directory is not None else Address()
        self._listener = address.listen()
        self.address = str(address.bound(self._listener))
        self.requests: list[Frame] = []
        self.alive = True
        self._stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_until_ready(self, timeout: float) -> str:
        return self.address

    def stop(self) -> None:
        self._stopped.set()
        self._listener.close()

    def as_servers(self):
        """What the plugin takes for the servers of this process."""
        fake = self

        class OnlyThis:
            def get(self, config: NeuralProposer, host: str | None = None):
                return fake

        return OnlyThis()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while (message := read_frame(stream)) is not None:
                    answer = self._reply(message)
                    if answer is None:
                        return
                    if isinstance(answer, str):
                        self._stopped.wait(60)
                        return
                    connection.sendall(answer if isinstance(answer, bytes) else pack(answer))
            except OSError:
                return

    def _reply(self, message: Frame):
        if not self._welcome:
            return "hang"
        if message.type is MessageType.HELLO:
            return frame(MessageType.WELCOME, message.request, server="fake", kinds="\n".join(KINDS))
        if message.type is MessageType.OPEN:
            return frame(MessageType.OPENED, message.request, search=message.fields["search"], elapsed=0.0)
        if message.type is not MessageType.REQUEST:
            return b""
        self.requests.append(message)
        return self._answer(message)

"""A small client of the proposer server, as the Julia package is one; for tests only."""

import math

import numpy as np

from pysr_neural.interop.addresses import Address
from pysr_neural.proposer.base import ProposalRequest
from pysr_neural.state import level_bits
from pysr_neural.wire.codes import encode
from pysr_neural.wire.frames import Frame, MessageType, frame, pack, read_frame


class WireClient:
    def __init__(self, address: str, token: str, hello: bool = True) -> None:
        self.socket = Address.parse(address).connect(timeout=20)
        self.stream = self.socket.makefile("rb")
        if hello:
            self.welcome = self.ask(frame(MessageType.HELLO, 1, token=token))

    def __enter__(self) -> "WireClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.socket.close()

    def ask(self, message: Frame | bytes) -> Frame | None:
        self.socket.sendall(message if isinstance(message, bytes) else pack(message))
        return read_frame(self.stream)


def open_frame(problem, search: int = 7, request: int = 2) -> Frame:
    counted = problem.limits.complexities
    return frame(
        MessageType.OPEN,
        request,
        search=search,
        X=problem.X,
        y=problem.y,
        operator_names="\n".join(problem.operators.names),
        operator_arities=problem.operators.arities,
        limits=[problem.limits.max_size, problem.limits.max_depth],
        nested=np.array(problem.limits.nested, dtype=np.int32).reshape(-1, 3),
        arguments=np.array(problem.limits.arguments, dtype=np.int32).reshape(-1, 3),
        complexities=[] if counted is None else [counted.constant, *counted.variables, *counted.operators],
    )


def request_frame(problem, request: ProposalRequest, search: int = 7, number: int = 3, **changed: object) -> Frame:
    written = [encode(m.tree, problem.operators, problem.X.shape[1]) for m in request.members]
    fields = {
        "search": search,
        "seed": request.seed,
        "count": request.count,
        "levels": level_bits(request.levels),
        "temperature": request.temperature,
        "max_size": request.max_size or 0,
        "progress": request.progress,
        "lengths": [len(codes) for codes, _ in written],
        "codes": [int(c) for codes, _ in written for c in codes],
        "constants": [float(c) for _, constants in written for c in constants],
        "losses": [m.loss for m in request.members],
        "complexities": [m.complexity for m in request.members],
        "seconds": math.nan if request.seconds is None else request.seconds,
    }
    return frame(MessageType.REQUEST, number, **{**fields, **changed})

"""Write `wire_v1.toml`, the vectors that tie the Python and the Julia implementation of the wire format.

Run it after a deliberate change of the format only: ``python tests/golden/make_wire.py``.
"""

from pathlib import Path

import numpy as np

from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.wire.codes import WIRE_VERSION, encode
from pysr_neural.wire.frames import FIELDS, FRAME_VERSION, Frame, MessageType, frame, pack
from pysr_neural.wire.vocabulary import VOCABULARY_HASH

GOLDEN = Path(__file__).parent / "wire_v1.toml"
ARITHMETIC = OperatorSet.of("+", "-", "*", "/")
FULL = OperatorSet.of("sin", "exp", "log", "sqrt", "square", "+", "-", "*", "/", "^")
TREES = (
    ("x0", ARITHMETIC, 1),
    ("2.5", ARITHMETIC, 1),
    ("x0 + 1.0", ARITHMETIC, 2),
    ("(x0 - x1) * (x1 / x2)", ARITHMETIC, 3),
    ("((x0 * -0.1) - 1e-300) / (3.141592653589793 + x1)", ARITHMETIC, 2),
    ("sin(exp(x3 ^ 2.0)) + log(sqrt(x0))", FULL, 5),
    ("square(square(x0 - 7.0)) / (x11 ^ 0.5)", FULL, 12),
)


def frames() -> list[Frame]:
    """Return one frame of every type, and empty and multi-dimensional fields."""
    empty_i, empty_f = np.zeros(0, np.int32), np.zeros(0)
    return [
        frame(MessageType.HELLO, 1, token="s3cret-é"),
        frame(MessageType.WELCOME, 1, server="pysr_neural", kinds="constant\noperator"),
        frame(
            MessageType.OPEN,
            2,
            search=7,
            X=np.arange(6.0).reshape(3, 2) / 4,
            y=[1.0, -2.5, np.inf],
            operator_names="sin\n+\n*",
            operator_arities=[1, 2, 2],
            limits=[20, 10],
            nested=[[0, 0, 1], [0, 1, 2]],
            arguments=[[0, 0, 5], [2, 1, 3]],
            complexities=[2.0, 1.0, 1.5, 3.0, 1.0, 1.0],
        ),
        frame(MessageType.OPENED, 2, search=7, elapsed=0.125),
        frame(
            MessageType.REQUEST,
            2**40 + 3,
            search=7,
            seed=2**50,
            count=64,
            levels=0b1000101,
            temperature=0.75,
            max_size=15,
            progress=0.5,
            lengths=[3, 1],
            codes=[4, 1, 0, 2],
            constants=[1.5],
            losses=[0.25, np.nan],
            complexities=[3, 1],
            seconds=1.25,
        ),
        frame(
            MessageType.BATCH,
            2**40 + 3,
            search=7,
            lengths=[1, 3],
            codes=[1, 4, 0, 0],
            constants=[2.0, -3.0],
            kinds=[13, 13],
            parents=[[-1, -1], [0, -1]],
            log_probabilities=[-1.5, np.nan],
            leave_noise=[0, 1],
            explained=1,
            kind_weights=np.ones(14),
            crossover_probability=[0.25],
            parent_weights=[1.5, 0.5],
            operator_weights=[0.5, 0.25, 0.25],
            variable_weights=[0.5, 0.5],
            pair_weights=np.full((4, 5), 0.2),
            elapsed=0.01,
        ),
        frame(
            MessageType.BATCH,
            4,
            search=8,
            lengths=empty_i,
            codes=empty_i,
            constants=empty_f,
            kinds=empty_i,
            parents=np.zeros((0, 2), np.int32),
            log_probabilities=empty_f,
            leave_noise=empty_i,
            explained=0,
            kind_weights=empty_f,
            crossover_probability=empty_f,
            parent_weights=empty_f,
            operator_weights=empty_f,
            variable_weights=empty_f,
            pair_weights=np.zeros((0, 0)),
            elapsed=0.0,
        ),
        frame(MessageType.PING, 5),
        frame(MessageType.PONG, 5),
        frame(MessageType.CLOSE, 6, search=7),
        frame(MessageType.ERROR, 6, message="what must hold; what was got"),
        frame(MessageType.SHUTDOWN, 7),
        frame(
            MessageType.TRACE,
            search=7,
            output=1,
            population=3,
            iteration=2,
            member_moments=[0],
            member_refs=[11],
            member_parents=[5],
            member_births=[40],
            member_losses=[0.5],
            member_costs=[0.625],
            member_lengths=[3],
            member_codes=[4, 0, 1],
            member_constants=[2.5],
            event_cycles=[1, 2],
            event_kinds=[5, 12],
            event_parents=[11, -1, 11, 9],
            event_refs=[-1, 12],
            event_losses=[0.5, np.nan, np.nan, 0.25],
            event_costs=[0.625, np.nan, np.nan, 0.375],
            event_outcomes=[2, 0],
            event_neural=[1, 0],
            event_lengths=[0, 1],
            event_codes=[2],
            event_constants=empty_f,
            death_cycles=[2],
            death_refs=[10],
        ),
    ]


def golden_text() -> str:
    """Return the file's content."""
    lines = [
        "# Written by make_wire.py; read by the Python and the Julia tests.",
        f"wire_version = {WIRE_VERSION}",
        f"frame_version = {FRAME_VERSION}",
        f'vocabulary_hash = "{VOCABULARY_HASH}"',
        "",
    ]
    for text, operators, features in TREES:
        codes, constants = encode(parse(text), operators, features)
        lines += [
            "[[codes]]",
            f'text = "{text}"',
            f"operators = {_strings(operators.names)}",
            f"arities = {list(operators.arities)}",
            f"features = {features}",
            f"codes = {codes.tolist()}",
            f"constants = {[float(c) for c in constants]}",
            "",
        ]
    for message in frames():
        lines += [
            "[[frames]]",
            f'type = "{message.type.name}"',
            f"type_id = {int(message.type)}",
            f"request = {message.request}",
            f'hex = "{pack(message).hex()}"',
            "",
        ]
        for name, code in FIELDS[message.type]:
            values = message.fields[name]
            lines += [
                "[[frames.fields]]",
                f'name = "{name}"',
                f'dtype = "{code}"',
                f"shape = {list(values.shape)}",
                f"values = [{', '.join(map(_number, values.reshape(-1).tolist()))}]",
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


def _strings(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _number(value: float) -> str:
    return repr(value)


if __name__ == "__main__":
    GOLDEN.write_text(golden_text())

"""Binary frames between the engine's client and the proposer server.

Owns: framing, the field lists of all messages, and their limits.  Does not own: sockets (`interop.server`).

A frame is a 24-byte header (little-endian): magic ``NPW1``, version ``u16``, message type ``u16``, request id ``u64``,
payload length ``u64``; then the payload: the message's fields in the order of `FIELDS`, each as dtype ``u8``, number of
dimensions ``u8``, each dimension ``u32``, and the values (row-major, little-endian).  No pickle, no text parsing.
The Julia twin is ``julia/NeuralProposer/src/Frames.jl``; `tests/golden/wire_v1.toml` ties the two.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from pysr_neural.errors import WireError

MAGIC = b"NPW1"
FRAME_VERSION = 3
"""Raised with every change of a field; codes and tokens, which checkpoints depend on, have a version of their own."""
HEADER = struct.Struct("<4sHHQQ")
MAX_PAYLOAD = 1 << 28
MAX_DIMENSIONS = 4
DTYPES: Mapping[int, np.dtype[np.generic]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<i4"),
    3: np.dtype("<i8"),
    4: np.dtype("<f8"),
    5: np.dtype("<f4"),
}
_CODE_OF = {dtype: code for code, dtype in DTYPES.items()}


class MessageType(IntEnum):
    """What a frame asks or answers."""

    HELLO = 1
    WELCOME = 2
    OPEN = 3
    OPENED = 4
    REQUEST = 5
    BATCH = 6
    PING = 7
    PONG = 8
    CLOSE = 9
    ERROR = 10
    SHUTDOWN = 11
    TRACE = 12


FIELDS: Mapping[MessageType, tuple[tuple[str, str], ...]] = {
    MessageType.HELLO: (("token", "u1"),),
    MessageType.WELCOME: (("server", "u1"), ("kinds", "u1")),
    MessageType.OPEN: (
        ("search", "i8"),
        ("X", "f8"),
        ("y", "f8"),
        ("operator_names", "u1"),
        ("operator_arities", "i4"),
        ("limits", "i4"),
        ("nested", "i4"),
        ("arguments", "i4"),
        ("complexities", "f8"),
    ),
    MessageType.OPENED: (("search", "i8"), ("elapsed", "f8")),
    MessageType.REQUEST: (
        ("search", "i8"),
        ("seed", "i8"),
        ("count", "i4"),
        ("levels", "i4"),
        ("temperature", "f8"),
        ("max_size", "i4"),
        ("progress", "f8"),
        ("lengths", "i4"),
        ("codes", "i4"),
        ("constants", "f8"),
        ("losses", "f8"),
        ("complexities", "i4"),
        ("seconds", "f8"),
    ),
    MessageType.BATCH: (
        ("search", "i8"),
        ("lengths", "i4"),
        ("codes", "i4"),
        ("constants", "f8"),
        ("kinds", "i4"),
        ("parents", "i4"),
        ("log_probabilities", "f8"),
        ("leave_noise", "i4"),
        ("explained", "i4"),
        ("kind_weights", "f8"),
        ("crossover_probability", "f8"),
        ("parent_weights", "f8"),
        ("operator_weights", "f8"),
        ("variable_weights", "f8"),
        ("pair_weights", "f8"),
        ("elapsed", "f8"),
    ),
    MessageType.PING: (),
    MessageType.PONG: (),
    MessageType.CLOSE: (("search", "i8"),),
    MessageType.ERROR: (("message", "u1"),),
    MessageType.SHUTDOWN: (),
    MessageType.TRACE: (
        ("search", "i8"),
        ("output", "i4"),
        ("population", "i4"),
        ("iteration", "i4"),
        ("member_moments", "i4"),
        ("member_refs", "i8"),
        ("member_parents", "i8"),
        ("member_births", "i8"),
        ("member_losses", "f8"),
        ("member_costs", "f8"),
        ("member_lengths", "i4"),
        ("member_codes", "i4"),
        ("member_constants", "f8"),
        ("event_cycles", "i4"),
        ("event_kinds", "i4"),
        ("event_parents", "i8"),
        ("event_refs", "i8"),
        ("event_losses", "f8"),
        ("event_costs", "f8"),
        ("event_outcomes", "i4"),
        ("event_neural", "i4"),
        ("event_lengths", "i4"),
        ("event_codes", "i4"),
        ("event_constants", "f8"),
        ("death_cycles", "i4"),
        ("death_refs", "i8"),
    ),
}
Value = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Frame:
    """One message.

    Parameters
    ----------
    type : MessageType
    request : int
        The request's number; an answer carries the number of what it answers.
    fields : mapping of str to array
        Exactly the names of `FIELDS` for this type.
    """

    type: MessageType
    request: int
    fields: Mapping[str, Value]

    def text(self, name: str) -> str:
        """Read a field of bytes as UTF-8."""
        return self.fields[name].tobytes().decode("utf-8", errors="replace")

    def scalar(self, name: str) -> float:
        """Read a field of one value."""
        if self.fields[name].size != 1:
            raise WireError(f"Field {name!r} must hold one value; got shape {self.fields[name].shape}.")
        return self.fields[name].reshape(-1)[0].item()  # type: ignore[no-any-return]


def frame(type_: MessageType, request: int = 0, **fields: object) -> Frame:
    """Make a frame, converting each field to its declared type.

    Text becomes UTF-8 bytes, a number becomes an array of one value.

    Raises
    ------
    WireError
        If a field is missing or unknown.
    """
    declared = dict(FIELDS[type_])
    if set(fields) != set(declared):
        raise WireError(f"{type_.name} must have the fields {tuple(declared)}; got {tuple(fields)}.")
    return Frame(type_, request, {name: _as_array(fields[name], code) for name, code in declared.items()})


def _as_array(value: object, code: str) -> Value:
    if isinstance(value, str):
        value = np.frombuffer(value.encode(), dtype=np.uint8)
    elif isinstance(value, bytes):
        value = np.frombuffer(value, dtype=np.uint8)
    return np.ascontiguousarray(np.atleast_1d(np.asarray(value)), dtype=np.dtype("<" + code))


def pack(message: Frame) -> bytes:
    """Write a frame as bytes."""
    parts = []
    for name, _ in FIELDS[message.type]:
        values = message.fields[name]
        dtype = values.dtype.newbyteorder("<") if values.dtype.itemsize > 1 else values.dtype
        parts.append(struct.pack(f"<BB{values.ndim}I", _CODE_OF[np.dtype(dtype)], values.ndim, *values.shape))
        parts.append(values.tobytes())
    payload = b"".join(parts)
    return HEADER.pack(MAGIC, FRAME_VERSION, message.type, message.request, len(payload)) + payload


@dataclass(frozen=True)
class Header:
    """What precedes a payload; the type is not checked yet.

    Parameters
    ----------
    type, request, length : int
    """

    type: int
    request: int
    length: int


def read_frame(stream: BinaryIO) -> Frame | None:
    """Read one frame from a stream.

    Returns
    -------
    Frame or None
        None if the stream ended before a frame began.

    Raises
    ------
    WireError
        If the bytes are not a frame of this version.
    """
    header = read_header(stream)
    return None if header is None else unpack(header.type, header.request, read_payload(stream, header))


def read_header(stream: BinaryIO, max_payload: int = MAX_PAYLOAD) -> Header | None:
    """Read a frame's header; after an error here the stream is out of step and must be closed.

    Returns
    -------
    Header or None
        None if the stream ended before a frame began.

    Raises
    ------
    WireError
        If the bytes are not a header of this version, or announce more than ``max_payload`` bytes.
    """
    header = _read_exactly(stream, HEADER.size, optional=True)
    if header is None:
        return None
    magic, version, type_, request, length = HEADER.unpack(header)
    if magic != MAGIC:
        raise WireError(f"A frame must begin with {MAGIC!r}; got {magic!r}. The other side speaks something else.")
    if version != FRAME_VERSION:
        raise WireError(f"The frames' version must be {FRAME_VERSION}; got {version}. Install matching versions.")
    if length > max_payload:
        raise WireError(f"A payload must not exceed {max_payload} bytes; got {length}.")
    return Header(type_, request, length)


def read_payload(stream: BinaryIO, header: Header) -> bytes:
    """Read the payload that a header announces; pass it to `unpack`.

    Raises
    ------
    WireError
        If the stream ends first.
    """
    payload = _read_exactly(stream, header.length)
    return payload or b""


def _read_exactly(stream: BinaryIO, count: int, optional: bool = False) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        piece = stream.read(count - len(data))
        if not piece:
            if optional and not data:
                return None
            raise WireError(f"The stream ended in mid-frame: {len(data)} of {count} bytes.")
        data += piece
    return bytes(data)


def unpack(type_: int, request: int, payload: bytes) -> Frame:
    """Read a payload's fields.

    Raises
    ------
    WireError
        If the type is unknown, or a field is missing, truncated, of the wrong type, or followed by extra bytes.
    """
    try:
        known = MessageType(type_)
    except ValueError as error:
        raise WireError(f"A message type must be one of {[int(t) for t in MessageType]}; got {type_}.") from error
    fields, offset = {}, 0
    for name, code in FIELDS[known]:
        values, offset = _read_field(payload, offset, f"{known.name}.{name}")
        if values.dtype != np.dtype("<" + code):
            raise WireError(f"{known.name}.{name} must have type {code}; got {values.dtype}.")
        fields[name] = values
    if offset != len(payload):
        raise WireError(f"{known.name} must end after its fields; got {len(payload) - offset} extra bytes.")
    return Frame(known, request, fields)


def _read_field(payload: bytes, offset: int, label: str) -> tuple[Value, int]:
    if offset + 2 > len(payload):
        raise WireError(f"{label} is missing: the payload ends at byte {len(payload)}.")
    code, dimensions = payload[offset], payload[offset + 1]
    offset += 2
    if code not in DTYPES or dimensions > MAX_DIMENSIONS or offset + 4 * dimensions > len(payload):
        raise WireError(f"{label} has no valid field header; got type {code} and {dimensions} dimensions.")
    shape = struct.unpack_from(f"<{dimensions}I", payload, offset)
    offset += 4 * dimensions
    size = math.prod(shape) * DTYPES[code].itemsize
    if math.prod(max(side, 1) for side in shape) > MAX_PAYLOAD:  # Also of an empty array: NumPy refuses huge sides.
        raise WireError(f"{label} must not have more than {MAX_PAYLOAD} places; got shape {shape}.")
    if offset + size > len(payload):
        raise WireError(f"{label} of shape {shape} is truncated: {size} bytes declared, {len(payload) - offset} left.")
    values = np.frombuffer(payload, dtype=DTYPES[code], count=math.prod(shape), offset=offset).reshape(shape)
    return values, offset + size

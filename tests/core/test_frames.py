"""Frames: round trips, and nothing but WireError for bytes that are none."""

import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pysr_neural.errors import WireError
from pysr_neural.wire.frames import (
    FIELDS,
    FRAME_VERSION,
    HEADER,
    MAGIC,
    MAX_DIMENSIONS,
    MAX_PAYLOAD,
    Frame,
    MessageType,
    frame,
    pack,
    read_frame,
    unpack,
)


def random_frame(type_, seed):
    """A frame with fields of random shape and content; far quicker than drawing each value from hypothesis."""
    rng = np.random.default_rng(seed)
    fields = {}
    for name, code in FIELDS[type_]:
        shape = tuple(rng.integers(0, 4, rng.integers(1, MAX_DIMENSIONS + 1)))
        raw = rng.bytes(int(np.prod(shape)) * np.dtype("<" + code).itemsize)
        fields[name] = np.frombuffer(raw, dtype="<" + code).reshape(shape)
    return Frame(type_, int(rng.integers(2**64, dtype=np.uint64)), fields)


frames = st.builds(random_frame, st.sampled_from(MessageType), st.integers(0, 2**32))


def assert_same(a, b):
    assert (a.type, a.request, set(a.fields)) == (b.type, b.request, set(b.fields))
    for name, values in a.fields.items():
        assert values.dtype == b.fields[name].dtype
        np.testing.assert_array_equal(values, b.fields[name])


class Dribble(io.RawIOBase):
    """A stream that hands out one byte at a time, as a slow socket may."""

    def __init__(self, data):
        self.inner = io.BytesIO(data)

    def read(self, count=-1):
        return self.inner.read(min(count, 1))


@given(frames)
def test_any_frame_survives_the_round_trip(message):
    assert_same(read_frame(io.BytesIO(pack(message))), message)


def test_frames_follow_each_other_and_may_come_in_pieces():
    data = pack(frame(MessageType.PING, 1)) + pack(frame(MessageType.OPENED, 2, search=7, elapsed=0.5))
    stream = Dribble(data)
    assert read_frame(stream).type is MessageType.PING
    second = read_frame(stream)
    assert (second.request, second.scalar("search"), second.scalar("elapsed")) == (2, 7, 0.5)
    assert read_frame(stream) is None


def test_text_fields():
    message = frame(MessageType.ERROR, message="größer als erlaubt")
    assert unpack(message.type, 0, pack(message)[HEADER.size :]).text("message") == "größer als erlaubt"
    assert frame(MessageType.ERROR, message=b"\xff").text("message") == "�"


def test_scalar_of_several_values_is_refused():
    with pytest.raises(WireError, match="one value"):
        frame(MessageType.OPENED, search=[1, 2], elapsed=0.0).scalar("search")


@pytest.mark.parametrize("fields", [{}, {"search": 1}, {"search": 1, "elapsed": 0.0, "extra": 1}])
def test_a_frame_must_have_exactly_its_fields(fields):
    with pytest.raises(WireError, match="must have the fields"):
        frame(MessageType.OPENED, **fields)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ((b"HTTP", FRAME_VERSION, 7, 0, 0), "must begin with"),
        ((MAGIC, FRAME_VERSION + 1, 7, 0, 0), "version must be"),
        ((MAGIC, FRAME_VERSION, 7, 0, MAX_PAYLOAD + 1), "must not exceed"),
        ((MAGIC, FRAME_VERSION, 99, 0, 0), "message type"),
        ((MAGIC, FRAME_VERSION, 7, 0, 5), "mid-frame"),
        ((MAGIC, FRAME_VERSION, 9, 0, 0), "is missing"),
    ],
)
def test_wrong_headers(header, message):
    with pytest.raises(WireError, match=message):
        read_frame(io.BytesIO(HEADER.pack(*header)))


def test_extra_bytes_and_wrong_types_are_refused():
    payload = pack(frame(MessageType.CLOSE, search=1))[HEADER.size :]
    with pytest.raises(WireError, match="extra bytes"):
        unpack(MessageType.CLOSE, 0, payload + b"\0")
    with pytest.raises(WireError, match="must have type i8"):
        unpack(MessageType.CLOSE, 0, b"\x04" + payload[1:])


@settings(max_examples=300)
@given(frames, st.data())
def test_truncated_frames_are_refused(message, data):
    whole = pack(message)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(WireError):
        read_frame(io.BytesIO(whole[:cut]))


@settings(max_examples=500)
@given(frames, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_frames_are_read_or_refused(message, damage):
    whole = bytearray(pack(message))
    for position, value in damage:
        whole[position % len(whole)] = value
    read_or_refused(bytes(whole))


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage):
    read_or_refused(garbage)


@settings(max_examples=300)
@given(st.sampled_from([int(t) for t in MessageType]), st.binary(max_size=80))
@example(9, bytes([3, 4]) + b"\0\0\0\0" + b"\xff" * 12)
@example(9, bytes([3, 1]) + b"\0\0\0\0")
@example(9, bytes([3, 0]) + b"\0" * 8)
def test_garbage_payloads_are_refused(type_, payload):
    read_or_refused(HEADER.pack(MAGIC, FRAME_VERSION, type_, 0, len(payload)) + payload)


def read_or_refused(data):
    try:
        message = read_frame(io.BytesIO(data))
    except WireError:
        return
    if message is not None:
        assert_same(read_frame(io.BytesIO(pack(message))), message)

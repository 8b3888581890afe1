"""The wire format against its golden vectors, which the Julia tests read too."""

import io
import tomllib

import numpy as np
import pytest

from pysr_neural.expression.text import parse
from pysr_neural.problem import OperatorSet
from pysr_neural.wire.codes import decode, encode
from pysr_neural.wire.frames import pack, read_frame
from pysr_neural.wire.vocabulary import VOCABULARY_HASH
from tests.golden.make_wire import GOLDEN, golden_text

VECTORS = tomllib.loads(GOLDEN.read_text())


def test_golden_file_is_what_the_code_writes() -> None:
    assert GOLDEN.read_text() == golden_text()


def test_vocabulary_is_the_recorded_one() -> None:
    assert VECTORS["vocabulary_hash"] == VOCABULARY_HASH


@pytest.mark.parametrize("vector", VECTORS["codes"], ids=lambda vector: vector["text"])
def test_codes(vector: dict) -> None:
    operators = OperatorSet(tuple(vector["operators"]), tuple(vector["arities"]))
    tree = parse(vector["text"])
    codes, constants = encode(tree, operators, vector["features"])
    assert codes.tolist() == vector["codes"]
    assert constants.tolist() == vector["constants"]
    assert decode(vector["codes"], vector["constants"], operators, vector["features"]) == tree


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["type"])
def test_frames(vector: dict) -> None:
    data = bytes.fromhex(vector["hex"])
    message = read_frame(io.BytesIO(data))
    assert message is not None
    assert (message.type.name, int(message.type), message.request) == (
        vector["type"],
        vector["type_id"],
        vector["request"],
    )
    for field in vector.get("fields", []):
        values = message.fields[field["name"]]
        assert values.dtype == np.dtype("<" + field["dtype"])
        assert list(values.shape) == field["shape"]
        np.testing.assert_array_equal(values.reshape(-1), field["values"])
    assert pack(message) == data

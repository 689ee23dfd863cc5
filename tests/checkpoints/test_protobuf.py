"""The wire format: what is written is read, and what is cut is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csd.checkpoints.protobuf import encode_varint, field, fields, numbers

values = st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 2**63) | st.binary(max_size=300)))


@given(values)
def test_fields_come_back(entries):
    message = b"".join(field(number, value) for number, value in entries)
    found = [(n, v if isinstance(v, int) else bytes(v)) for n, v in fields(message)]
    assert found == entries


def test_it_is_what_protobuf_writes():
    from mindspore.train.checkpoint_pb2 import Checkpoint

    theirs = Checkpoint()
    value = theirs.value.add(tag="weight")
    value.tensor.dims.extend([3, 300])
    value.tensor.tensor_type = "Float32"
    value.tensor.tensor_content = b"\x00\x01" * 200
    tensor = field(1, 3) + field(1, 300) + field(2, b"Float32") + field(3, b"\x00\x01" * 200)
    assert theirs.SerializeToString() == field(1, field(1, b"weight") + field(2, tensor))


def test_packed_numbers():
    assert numbers(memoryview(b"".join(map(encode_varint, (1, 300, 2**40))))) == [1, 300, 2**40]
    assert numbers(7) == [7]


@pytest.mark.parametrize(
    "message", [b"\x0a", b"\x0a\x05abc", b"\x08", b"\x08" + b"\xff" * 11, b"\x0b"]
)
def test_what_is_cut_or_foreign_is_refused(message):
    with pytest.raises(ValueError):
        list(fields(message))

"""`--size` as text, and the image that exports are compared on."""

import numpy as np
import pytest

from csd.errors import InputError
from csd.export.sizes import parse_sizes


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("dynamic", None),
        (" Dynamic ", None),
        ("64x64", [(64, 64)]),
        ("120x160, 64X48,120x160", [(120, 160), (64, 48)]),
    ],
)
def test_sizes(text, sizes):
    assert parse_sizes(text) == sizes


@pytest.mark.parametrize(
    "text", ["", "64", "64x", "x64", "0x8", "8x9000", "-1x4", "64x64;3", "64*64"]
)
def test_not_a_size(text):
    with pytest.raises(InputError, match="--size"):
        parse_sizes(text)


def test_image_is_a_image_of_any_size():
    from csd.export.verify import sample_image

    small, large = sample_image((5, 9)), sample_image((200, 70))
    assert small.shape == (1, 3, 5, 9) and large.shape == (1, 3, 200, 70)
    assert large.dtype == np.float32 and large.min() >= 0 and large.max() <= 255
    assert large.std() > 20  # not a flat field
    np.testing.assert_array_equal(small, large[:, :, :5, :9])
    np.testing.assert_array_equal(large[:, :, 64:128], large[:, :, 63::-1][:, :, :64])

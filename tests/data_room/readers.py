"""The readers of images, and a check that all of them refuse a file in one sentence."""

import pytest
from PIL import ImageCms

from csd.data import image_size, read_image
from csd.data.decode import read_image_file
from csd.errors import InputError

READERS = (read_image, read_image_file, image_size)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def refused(path, words, readers=READERS):
    for reader in readers:
        with pytest.raises(InputError, match=words) as error:
            reader(path)
        assert "\n" not in str(error.value) and path.name in str(error.value)

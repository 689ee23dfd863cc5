"""16 bits in several channels, which Pillow cuts to 8 and OpenCV reads."""

import numpy as np


def decode_deep(data: bytes) -> np.ndarray:
    """PNG or JPEG 2000 of 16 bits, as uint16 (H, W, 3) RGB or (H, W, 4) RGBA.

    Grey with alpha comes as RGBA with three equal colours.

    Raises:
        ValueError: damaged, or other than 16 bits in 3 or 4 channels.
    """
    import cv2

    # Its remarks on damaged files go to the terminal; what matters is raised.
    cv2.setLogLevel(0)
    planes = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if planes is None or planes.dtype != np.uint16 or planes.ndim != 3:
        raise ValueError("its pixels are damaged or cut short")
    order = cv2.COLOR_BGRA2RGBA if planes.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(planes, order)

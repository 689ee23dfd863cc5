"""The former name of `csd.checkpoints`, for programs that import it."""

from csd.checkpoints import *  # noqa: F403
from csd.checkpoints import __all__  # noqa: F401

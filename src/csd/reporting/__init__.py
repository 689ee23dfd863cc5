"""HTML reports, charts, and crops side by side."""

from csd.reporting.compare import compare_image
from csd.reporting.widths import write_width_curve

__all__ = ["compare_image", "write_width_curve"]

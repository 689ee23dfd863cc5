"""HTML reports, charts, and crops side by side."""

from csd.reporting.compare import compare_image, write_comparison
from csd.reporting.report import ReportRun, load_run, write_report
from csd.reporting.widths import width_curve, write_width_curve

__all__ = [
    "ReportRun",
    "compare_image",
    "load_run",
    "width_curve",
    "write_comparison",
    "write_report",
    "write_width_curve",
]

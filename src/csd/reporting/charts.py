"""Line and point charts as SVG, drawn by matplotlib, without a script.

Inside a page (`figure`) colours are CSS variables, so that the page decides for light and dark:
`--c0` .. `--c7` for series, `--soft` for words, `--rule` for the grid. In a file of its own
(`sheet`) they are fixed, on white: many programs that show SVG know no CSS variables.
"""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

_WIDTH, _HEIGHT = 440, 280  # of one chart, points
_MOST_POINTS = 300
_MOST_MARKERS = 40  # a curve of more points is a line alone
_INKS = ("#0a6ebd", "#d1580a", "#23813a", "#a83a8e", "#8a6d00", "#008391", "#c0263a", "#5f5bc4")
_SOFT, _RULE = "#59636e", "#d5dae0"
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "font.size": 11,
    "text.color": _SOFT,
    "axes.labelcolor": _SOFT,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": _RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _RULE,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "lines.markersize": 5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # words stay words
    "svg.hashsalt": "csd",  # the same chart is the same file
}


@dataclass(frozen=True)
class Series:
    """Points of one name.

    level: a dashed horizontal line at the first point's y; hollow: circles that no line joins;
    labels: a word beside each point.
    """

    name: str
    points: Sequence[tuple[float, float]]
    level: bool = False
    hollow: bool = False
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """What one pair of axes shows.

    lines: join the points, else a dot each; log_x: logarithmic x axis, without points at or below
    zero; diagonal: both axes alike, with the line y = x; zero: begin the y axis at zero.
    """

    series: Sequence[Series]
    title: str
    x_label: str
    y_label: str
    lines: bool = True
    log_x: bool = False
    diagonal: bool = False
    zero: bool = False


def thin(points: Sequence[tuple[float, float]], most: int = _MOST_POINTS) -> list:
    """At most `most` points: means over runs of equal length, so that a long noisy curve reads."""
    size = math.ceil(len(points) / most) if points else 1
    if size == 1:
        return list(points)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def figure(chart: Chart) -> str:
    """A chart with its legend for a page, or nothing ("") where there is no finite point."""
    found = _finite(chart)
    if not found:
        return ""
    svg = _svg([replace(chart, series=found, title="")], 1, legends=False)
    for i, ink in enumerate((*_INKS, _SOFT, _RULE)):
        name = f"c{i}" if i < len(_INKS) else ("soft", "rule")[i - len(_INKS)]
        svg = svg.replace(ink, f"var(--{name})")
    svg = re.sub(r' clip-path="[^"]*"', "", svg)  # nothing reaches out of the axes
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.S)  # it would be the page's
    svg = re.sub(r'<g id="series_(\d+)">', lambda m: _described(found[int(m[1])]), svg)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # the same names in every figure of a page
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(chart.title)}"', 1)
    legend = "".join(
        f'<li><span class="key" style="background:var(--c{i % len(_INKS)})"></span>'
        f"{escape(s.name)}</li>"
        for i, s in enumerate(found)
    )
    return (
        f'<figure class="chart"><figcaption>{escape(chart.title)}</figcaption>{svg}'
        f'<ul class="legend">{legend}</ul></figure>'
    )


def sheet(charts: Sequence[Chart], title: str, columns: int = 2) -> str:
    """A whole SVG file of charts, row by row, on white; "" where none has a finite point."""
    drawn = [replace(c, series=found) for c in charts if (found := _finite(c))]
    if not drawn:
        return ""
    svg = _svg(drawn, min(columns, len(drawn)), legends=True)
    at = svg.index(">", svg.index("<svg")) + 1
    return f"{svg[:at]}\n<title>{escape(title)}</title>{svg[at:]}\n"


def _described(s: Series) -> str:
    """The beginning of a series' group, with what the pointer shows over it."""
    (x, y), many = s.points[0], len(s.points) > 1
    text = s.name if many else f"{s.name}: {y:.2f}" if s.level else f"{s.name}: {x:g}, {y:.4g}"
    return f"<g><title>{escape(text)}</title>"


def _finite(chart: Chart) -> list[Series]:
    """The series that can be drawn, without points that cannot; none where only levels remain."""
    finite = []
    for s in chart.series:
        labels = s.labels or [""] * len(s.points)
        kept = [
            (x, y, label)
            for (x, y), label in zip(s.points, labels, strict=True)
            if math.isfinite(x) and math.isfinite(y) and (x > 0 or not chart.log_x or s.level)
        ]
        if kept:
            points = [(x, y) for x, y, _ in kept]
            if s.labels:
                finite.append(replace(s, points=points, labels=[label for *_, label in kept]))
            else:
                finite.append(replace(s, points=thin(points) if chart.lines else points))
    return finite if any(not s.level for s in finite) else []


def _svg(charts: Sequence[Chart], columns: int, legends: bool) -> str:
    """Charts on one page of matplotlib's: the `<svg>` element, without anything that varies."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = math.ceil(len(charts) / columns)
    height = _HEIGHT + 50 * legends
    with rc_context(_STYLE):
        page = Figure(
            figsize=(columns * _WIDTH / 72, rows * height / 72),
            layout="constrained",
            facecolor="white" if legends else "none",
        )
        for place, chart in enumerate(charts, 1):
            axes = page.add_subplot(rows, columns, place, facecolor="none")
            _draw(axes, chart)
            if legends:
                axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3, fontsize=10)
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        page.savefig(out, format="svg", metadata=nothing)
    text = out.getvalue()
    return text[text.index("<svg") :].strip()


def _draw(axes, chart: Chart) -> None:
    axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    for index, s in enumerate(chart.series):
        look = {
            "color": _INKS[index % len(_INKS)],
            "label": s.name,
            "gid": f"series_{index}",
        }
        if s.level:
            axes.axhline(s.points[0][1], linestyle="--", linewidth=1.5, **look)
            continue
        xs, ys = zip(*s.points, strict=True)
        joined = chart.lines and not s.hollow
        dots = not joined or len(xs) <= _MOST_MARKERS
        axes.plot(
            xs, ys, linestyle=("-" if index < len(_INKS) else "--") if joined else "none",
            linewidth=2, marker="o" if dots else None,
            markerfacecolor="none" if s.hollow else None, **look,
        )  # fmt: skip
        for x, y, label in zip(xs, ys, s.labels, strict=False):
            axes.annotate(label, (x, y), (0, 6), textcoords="offset points", ha="center")
    _scale(axes, chart)


def _scale(axes, chart: Chart) -> None:
    """Limits and ticks: round numbers, short words."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if chart.diagonal:
        low, high = (f(*axes.get_xlim(), *axes.get_ylim()) for f in (min, max))
        axes.set(xlim=(low, high), ylim=(low, high))
        axes.plot([low, high], [low, high], linestyle="--", linewidth=1.5, color=_SOFT)
    if chart.zero:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    if chart.log_x:
        xs = [x for s in chart.series if not s.level for x, _ in s.points]
        axes.set_xscale("log")
        axes.set_xlim(min(xs) / 1.5, max(xs) * 1.5)
        subs = (1,) if max(xs) / min(xs) > 1e3 else (1, 2, 5)
        axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
        axes.xaxis.set_minor_locator(NullLocator())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    if 0 < abs(value) < 0.01:  # 0.0004 would take the room of the axis' label
        mantissa, exponent = f"{value:.6e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"

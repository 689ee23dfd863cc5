"""Line and point charts as SVG: no library, no script.

Inside a page (`chart`) a chart is drawn on a fixed grid of units and scaled by the page; `--c0` ..
`--c7` are the series colours, so that the page decides for light and dark. In a file of its own
(`panel`, `sheet`) it brings its colours along.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

_WIDTH, _HEIGHT = 440, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 42
_COLOURS = 8
_MOST_POINTS = 300
# A panel of a sheet: a title above the chart, a legend below it, space around.
_TITLE, _LEGEND, _MARGIN = 28, 24, 16
_INKS = ("#0a6ebd", "#d1580a", "#23813a", "#a83a8e", "#8a6d00", "#008391", "#c0263a", "#5f5bc4")
_STYLE = (
    "text { fill: #59636e; font: 12px system-ui, sans-serif; } .grid { stroke: #d5dae0; } "
    ".title { fill: #1b1f24; font-weight: 600; font-size: 14px; }"
)


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


def thin(points: Sequence[tuple[float, float]], most: int = _MOST_POINTS) -> list:
    """At most `most` points: means over runs of equal length, so that a long noisy curve reads."""
    size = math.ceil(len(points) / most) if points else 1
    if size == 1:
        return list(points)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) inside [low, high]."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten inside [low, high]; powers of ten alone over three decades."""
    multiples = (1,) if high / low > 1e3 else (1, 2, 5)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**e for e in exponents for m in multiples]
    return [t for t in ticks if low * 0.999 <= t <= high * 1.001]


def _short(value: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    if 0 < abs(value) < 0.01:  # 0.0004 would reach into the axis' label
        mantissa, exponent = f"{value:e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"


def _span(values: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        return (low / 1.5, high * 1.5)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    lines: bool = True,
    log_x: bool = False,
    diagonal: bool = False,
    zero: bool = False,
) -> str:
    """One figure with a legend, or nothing ("") where there is no finite point.

    Args:
        lines: join the points; else a dot each.
        log_x: logarithmic x axis; points at or below zero are left out.
        diagonal: both axes alike, with the line y = x.
        zero: begin the y axis at zero.
    """
    finite = _finite(series, lines, log_x)
    if not finite:
        return ""
    out = _axes_and_points(finite, x_label, y_label, lines, log_x, diagonal, zero)
    legend = "".join(
        f'<li><span class="key" style="background:var(--c{i % _COLOURS})"></span>'
        f"{escape(s.name)}</li>"
        for i, s in enumerate(finite)
    )
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'{out}</svg><ul class="legend">{legend}</ul></figure>'
    )


def panel(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, log_x: bool = False
) -> str:
    """One chart of lines for a `sheet`, or nothing ("") where there is no finite point."""
    finite = _finite(series, True, log_x)
    if not finite:
        return ""
    out = _axes_and_points(finite, x_label, y_label, True, log_x, False, False)
    legend = "".join(
        f'<tspan fill="var(--c{i % _COLOURS})" dx="{12 if i else 0}">{_mark(s)}</tspan>'
        f'<tspan dx="4">{escape(s.name)}</tspan>'
        for i, s in enumerate(finite)
    )
    return (
        f'<text class="title" x="{_LEFT}" y="16">{escape(title)}</text>'
        f'<g transform="translate(0 {_TITLE})">{out}</g>'
        f'<text x="{_LEFT}" y="{_TITLE + _HEIGHT + 14}">{legend}</text>'
    )


def _mark(s: Series) -> str:
    return "- -" if s.level else "○" if s.hollow else "●"


def sheet(panels: Sequence[str], title: str, columns: int = 2) -> str:
    """A whole SVG file of panels, row by row, on white; "" where there are none."""
    if not panels:
        return ""
    columns = min(columns, len(panels))
    across, down = _WIDTH + _MARGIN, _TITLE + _HEIGHT + _LEGEND + _MARGIN
    rows = math.ceil(len(panels) / columns)
    width, height = columns * across + _MARGIN, rows * down + _MARGIN
    body = "".join(
        f'<g transform="translate({_MARGIN + i % columns * across} '
        f'{_MARGIN + i // columns * down})">{part}</g>\n'
        for i, part in enumerate(panels)
    )
    for i, ink in enumerate(_INKS):  # many programs that show SVG know no CSS variables
        body = body.replace(f"var(--c{i})", ink)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n{body}</svg>\n'
    )


def _finite(series: Sequence[Series], lines: bool, log_x: bool) -> list[Series]:
    """The series that can be drawn, without points that cannot; none where only levels remain."""
    finite = []
    for s in series:
        labels = s.labels or [""] * len(s.points)
        kept = [
            (x, y, label)
            for (x, y), label in zip(s.points, labels, strict=True)
            if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x or s.level)
        ]
        if kept:
            points = [(x, y) for x, y, _ in kept]
            if s.labels:
                finite.append(replace(s, points=points, labels=[label for *_, label in kept]))
            else:
                finite.append(replace(s, points=thin(points) if lines else points))
    return finite if any(not s.level for s in finite) else []


def _axes_and_points(
    finite: Sequence[Series],
    x_label: str,
    y_label: str,
    lines: bool,
    log_x: bool,
    diagonal: bool,
    zero: bool,
) -> str:
    """What stands inside the SVG of one chart."""
    xs = [x for s in finite if not s.level for x, _ in s.points]
    ys = [y for s in finite for _, y in s.points]
    if diagonal:
        xs = ys = xs + ys
    x_low, x_high = _span(xs, log_x)
    if lines and not any(s.labels for s in finite):
        x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = _span(ys, False)
    y_low = 0.0 if zero else y_low

    def px(x: float) -> float:
        if log_x:
            part = math.log(x / x_low) / math.log(x_high / x_low)
        else:
            part = (x - x_low) / (x_high - x_low)
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    def py(y: float) -> float:
        part = (y - y_low) / (y_high - y_low)
        return round(_HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM), 1)

    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    out = []
    for tick in nice_ticks(y_low, y_high):
        y = py(tick)
        out.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{_short(tick)}</text>')
    for tick in log_ticks(x_low, x_high) if log_x else nice_ticks(x_low, x_high):
        x = px(tick)
        out.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>')
        out.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{_short(tick)}</text>')
    out.append(_axis_titles(x_label, y_label))
    if diagonal:
        out.append(
            f'<line class="level" x1="{px(x_low)}" y1="{py(x_low)}" '
            f'x2="{px(x_high)}" y2="{py(x_high)}"/>'
        )
    for i, s in enumerate(finite):
        out.append(_draw(s, i, px, py, lines, right))
    return "".join(out)


def _axis_titles(x_label: str, y_label: str) -> str:
    middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
    return (
        f'<text x="{middle_x}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text transform="translate(12 {middle_y}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )


def _draw(s: Series, index: int, px, py, lines: bool, right: float) -> str:
    colour = f"var(--c{index % _COLOURS})"
    dash = ' stroke-dasharray="6 4"' if s.level or index >= _COLOURS else ""
    if s.level:
        y = py(s.points[0][1])
        return (
            f'<line x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="{colour}" '
            f'stroke-width="1.5"{dash}><title>{escape(s.name)}: {s.points[0][1]:.2f}</title></line>'
        )
    parts = []
    if lines and len(s.points) > 1 and not s.hollow:
        path = " ".join(f"{px(x)},{py(y)}" for x, y in s.points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-linejoin="round"{dash}/>'
        )
    if not lines or len(s.points) <= 40:
        radius = 3 if lines else 4.5
        ink = (
            f'fill="none" stroke="{colour}" stroke-width="1.5"' if s.hollow else f'fill="{colour}"'
        )
        parts += [
            f'<circle cx="{px(x)}" cy="{py(y)}" r="{radius}" {ink}>'
            f"<title>{escape(s.name)}: {x:g}, {y:.4g}</title></circle>"
            for x, y in s.points
        ]
    parts += [
        f'<text x="{px(x)}" y="{py(y) - 8}" text-anchor="middle">{escape(label)}</text>'
        for (x, y), label in zip(s.points, s.labels, strict=False)
    ]
    return "".join(parts)

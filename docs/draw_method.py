"""Draw docs/images/method.svg, the figure of the method: `python docs/draw_method.py`."""

from html import escape
from pathlib import Path

WIDTH, HEIGHT = 940, 400
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328; text-anchor: middle }
.small { font-size: 12px; fill: #59636e }
.box { fill: #f6f8fa; stroke: #59636e; stroke-width: 1.2 }
.full { fill: #cfe3ff; stroke: #0969da }
.part { fill: #0969da; stroke: #0969da }
.on { fill: #ffffff }
.vgg { fill: #fff3d6; stroke: #9a6700 }
.line { fill: none; stroke: #59636e; stroke-width: 1.5; marker-end: url(#head) }
.pull { fill: none; stroke: #1a7f37; stroke-width: 2.5; marker-end: url(#green) }
.push { fill: none; stroke: #cf222e; stroke-width: 2.5; stroke-dasharray: 6 4;
  marker-end: url(#red) }
.green { fill: #1a7f37 } .red { fill: #cf222e } .grey { fill: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 }
  .box { fill: #151b23; stroke: #9198a1 } .full { fill: #12315c } .vgg { fill: #3b2f0f }
  .line { stroke: #9198a1 } .grey { fill: #9198a1 } .pull { stroke: #3fb950 }
  .green { fill: #3fb950 } .push { stroke: #f85149 } .red { fill: #f85149 }
}
"""


def box(x: int, y: int, w: int, h: int, lines: list[str], kind: str = "box") -> str:
    """A rounded box with centred lines of text; the second and later ones are small."""
    middle = y + h / 2 + 5 - 8 * (len(lines) - 1)
    rows = [f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" class="box {kind}"/>']
    for number, line in enumerate(lines):
        small = ' class="small"' if number else ""
        rows.append(
            f'<text x="{x + w / 2}" y="{middle + 17 * number}"{small}>{escape(line)}</text>'
        )
    return "\n".join(rows)


def arrow(points: str, kind: str = "line") -> str:
    """A line with a head through `x,y x,y ...`."""
    return f'<polyline points="{points}" class="{kind}"/>'


def label(x: int, y: int, text: str, kind: str = "small") -> str:
    """A line of text, centred at x."""
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'


def heads() -> str:
    """Arrow heads of the three colours of lines."""
    shape = '<marker id="{}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    shape += (
        'orient="auto" markerUnits="userSpaceOnUse"><path d="M0 0L8 4L0 8z" class="{}"/></marker>'
    )
    names = (("head", "grey"), ("green", "green"), ("red", "red"))
    return "<defs>" + "".join(shape.format(name, kind) for name, kind in names) + "</defs>"


def method() -> str:
    """The whole figure as SVG."""
    parts = [
        heads(),
        box(16, 110, 110, 60, ["LR image", "RGB 0..255"]),
        # One set of weights: the student is the corner of the teacher.
        '<rect x="176" y="40" width="190" height="200" rx="8" class="box full"/>',
        '<rect x="176" y="150" width="90" height="90" rx="8" class="box part"/>',
        '<text x="271" y="80">teacher</text>',
        label(271, 98, "all channels"),
        '<text x="221" y="192" class="on">student</text>',
        '<text x="221" y="209" class="on" style="font-size:11px">first quarter</text>',
        label(271, 262, "one set of weights"),
        arrow("126,140 172,140"),
        arrow("366,80 446,80"),
        arrow("266,195 446,195"),
        box(450, 50, 110, 60, ["T", "teacher's output"]),
        box(450, 165, 110, 60, ["S", "student's output"]),
        box(450, 315, 110, 60, ["N 1 ... N K", "negatives"]),
        arrow("71,170 71,345 446,345"),
        label(250, 335, "bicubic, of K patches of the batch"),
        box(626, 40, 90, 340, ["VGG-19", "frozen,", "5 stages"], "vgg"),
        arrow("560,80 622,80"),
        arrow("560,195 622,195"),
        arrow("560,345 622,345"),
        arrow("716,80 776,80"),
        arrow("716,195 776,195"),
        arrow("716,345 776,345"),
        box(780, 55, 70, 50, ["φ(T)"]),
        box(780, 170, 70, 50, ["φ(S)"]),
        box(780, 320, 70, 50, ["φ(N)"]),
        arrow("815,168 815,109", "pull"),
        arrow("815,222 815,316", "push"),
        label(872, 142, "close", "small green"),
        label(872, 272, "far", "small red"),
        label(505, 30, "L1 to HR, both outputs"),
    ]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        "<title>Contrastive self-distillation: teacher and student share one set of weights; the "
        "student's VGG features are pulled to the teacher's and pushed from bicubic images"
        f"</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    target = Path(__file__).with_name("images") / "method.svg"
    target.write_text(method(), encoding="utf-8")
    print(f"written: {target}")

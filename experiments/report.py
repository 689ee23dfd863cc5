"""The laboratory's report, in Markdown and as one HTML page, from results.json's contents alone."""

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path
from statistics import mean
from string import Template

import yaml

import csd.reporting.report as page
from csd.reporting.charts import Series, chart
from experiments.plan import BASELINE, REFERENCE, STEPS
from experiments.statistics import CONFIDENCE, Interval

_READING = {"steps": "Equal steps", "time": "Equal wall time"}
_DIFFERENCES = f"Paired differences of PSNR-Y, with {CONFIDENCE * 100:.0f} % intervals:"
_TITLE = "What contrastive self-distillation adds: recipes under one budget"

Rows = list[list[str]]


def verdicts(results: dict) -> list[str]:
    """A sentence per reading and comparison, claiming no more than its intervals support."""
    groups: dict[tuple, list[dict]] = {}
    for row in results["comparisons"]:
        groups.setdefault((row["reading"], row["recipe"], row["against"]), []).append(row)
    sentences = []
    for (reading, recipe, against), rows in groups.items():
        parts = ", ".join(_part(row["set"], Interval(**row["seeds"])) for row in rows)
        if rows[0]["seeds"]["n"] < 2:
            parts += "; of one seed alone no interval exists, so nothing is shown either way"
        sentences.append(f"{_READING[reading]}, {recipe} against {against}: {parts}.")
    return sentences


def _part(name: str, found: Interval) -> str:
    if found.n < 2:
        return f"{name} {found.mean:+.3f} dB"
    if found.low is None:
        return f"{name} not comparable, a score is not finite"
    return f"{found.verdict} on {name} ({_interval(found)} dB)"


def _interval(found: Interval) -> str:
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _spread(values: dict, digits: int) -> str:
    text = f"{values['mean']:.{digits}f}"
    return text if values["sd"] is None else f"{text} ± {values['sd']:.{digits}f}"


def score_table(results: dict, reading: str) -> Rows:
    """Header and rows: bicubic, teacher, and every recipe with mean ± standard deviation."""
    sets = list(results["bicubic"]["sets"])
    rows = [
        ["recipe", "steps", "ms per step", "training, s", *(f"{s} PSNR-Y / SSIM-Y" for s in sets)]
    ]
    for name in ("bicubic", "teacher"):
        scores = results[name]["sets"]
        cells = [f"{scores[s]['psnr_y']:.3f} / {scores[s]['ssim_y']:.4f}" for s in sets]
        rows.append([name, str(results[name].get("steps") or ""), "", "", *cells])
    for recipe in dict.fromkeys(r["recipe"] for r in results["summary"]):
        group = [c for c in results["cells"] if (c["reading"], c["recipe"]) == (reading, recipe)]
        found = {r["set"]: r for r in results["summary"]
                 if (r["reading"], r["recipe"]) == (reading, recipe)}  # fmt: skip
        if not group:
            continue
        rows.append(
            [
                recipe,
                str(group[0]["steps"]),
                f"{mean(c['ms_per_step'] for c in group):.0f}",
                f"{mean(c['seconds'] for c in group):.0f}",
                *(
                    f"{_spread(found[s]['psnr_y'], 3)} / {_spread(found[s]['ssim_y'], 4)}"
                    for s in sets
                ),
            ]
        )
    return rows


def difference_table(results: dict, reading: str) -> Rows:
    """Header and rows of the paired differences."""
    rows = [["difference", "set", "mean, dB", "over seeds", "which says", "over photographs"]]
    for row in results["comparisons"]:
        if row["reading"] != reading:
            continue
        seeds, images = Interval(**row["seeds"]), Interval(**row["images"])
        rows.append(
            [
                f"{row['recipe']} - {row['against']}",
                row["set"],
                f"{seeds.mean:+.3f}",
                f"[{seeds.low:+.3f}, {seeds.high:+.3f}]" if seeds.low is not None else "none",
                seeds.verdict,
                f"[{images.low:+.3f}, {images.high:+.3f}]" if images.low is not None else "none",
            ]
        )
    return rows


def _readings(results: dict) -> list[str]:
    return list(dict.fromkeys(c["reading"] for c in results["cells"]))


def _notes(results: dict) -> list[str]:
    lab = results["config"]["lab"]
    count, percent = len(dict.fromkeys(lab["seeds"])), round(CONFIDENCE * 100)
    notes = [
        f"{count} seed{'s' if count > 1 else ''}; mean ± standard deviation over the seeds. A seed "
        "decides initial weights, the order and the crops of the photographs, and the negatives; "
        "one teacher serves all seeds, so that its own luck is in no interval.",
        f"Differences are of PSNR-Y, paired by seed. Intervals are Student's t, {percent} %, each "
        "for itself: with many comparisons some exclude zero by chance. Those over photographs say "
        "how a difference varies from picture to picture (mean over the seeds), not from training "
        "to training.",
        "The scores are those of the last step: no checkpoint was chosen by its score.",
    ]
    table = results["calibration"]
    reference = table["reference"] if table else None
    # Where all cells of the reference failed there is no budget to tell of.
    if "time" in _readings(results) and table and reference in table["ms_per_step"]:
        budget = table["ms_per_step"][reference] * table["reference_steps"] / 1000
        notes.append(
            f"Equal wall time: as many steps as fit into the {budget:.0f} s of {reference}'s "
            f"{table['reference_steps']} steps, by the median of the milliseconds per step that "
            "the cells of equal steps took; the schedule is stretched with them."
        )
    wanted = count * len(lab["recipes"]) * len(lab["fair"])
    if len(results["cells"]) < wanted:
        notes.append(f"{len(results['cells'])} of {wanted} results are there; the rest is missing.")
    if results["failed"]:
        notes.append(f"Failed, and left out: {', '.join(results['failed'])}.")
    return notes


def _recipes(results: dict) -> Rows:
    rows = [["recipe", "base", "differs from the common settings in"]]
    for name, entry in results["config"]["lab"]["recipes"].items():
        changes = ", ".join(f"{k} = {v}" for k, v in entry.items() if k != "recipe")
        rows.append([name, entry["recipe"], changes])
    return rows


def _setting(results: dict) -> str:
    config = results["config"]
    model, train, data = config["model"], config["train"], config["data"]
    return (
        f"{model['name'].upper()} x{model['scale']}, {model['n_feats']} features"
        + (f", {model['n_resblocks']} blocks" if model["n_resblocks"] else "")
        + f"; student width {train['widths'][0]:g}; batch {train['batch_size']}, low-resolution "
        f"patch {data['lr_patch']}; {config['lab']['steps']} steps"
    )


def markdown(results: dict) -> str:
    """The report in Markdown."""
    lines = [f"# {_TITLE}", "", f"{_setting(results)}."]
    if results["command"]:
        lines += ["", f"    {results['command']}"]
    lines += ["", "## Verdict", "", *(f"- {sentence}" for sentence in verdicts(results))]
    for reading in _readings(results):
        lines += [
            "",
            f"## {_READING[reading]}",
            "",
            *_markdown_table(score_table(results, reading)),
        ]
        differences = difference_table(results, reading)
        if len(differences) > 1:
            lines += ["", _DIFFERENCES, "", *_markdown_table(differences)]
    lines += ["", "## Recipes", "", *_markdown_table(_recipes(results))]
    lines += ["", "## Notes", "", *(f"- {note}" for note in _notes(results))]
    facts = ", ".join(f"{key} {value}" for key, value in results["environment"].items())
    return "\n".join([*lines, "", f"Made with {facts}.", ""])


def _markdown_table(rows: Rows) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def html_page(results: dict) -> str:
    """The report as one HTML page that needs nothing beside itself."""
    body = [f"<h1>{escape(_TITLE)}</h1>", f'<p class="soft">{escape(_setting(results))}.</p>']
    for sentence in verdicts(results):
        main = f"{REFERENCE} against {BASELINE}:" in sentence
        body.append(f"<p{' class=lead' if main else ''}>{escape(sentence)}</p>")
    for reading in _readings(results):
        body += [f"<h2>{_READING[reading]}</h2>", _html_table(score_table(results, reading))]
        differences = difference_table(results, reading)
        if len(differences) > 1:
            body += [f"<p>{_DIFFERENCES}</p>", _html_table(differences)]
        body.append(
            f'<div class="charts" style="margin-top:1rem">{_charts(results, reading)}</div>'
        )
    body += ["<h2>Recipes</h2>", _html_table(_recipes(results)), "<h2>Notes</h2>"]
    body += [f"<p>{escape(note)}</p>" for note in _notes(results)]
    config = yaml.safe_dump(results["config"], sort_keys=False)
    body.append("<h2>Configuration</h2>")
    if results["command"]:
        body.append(f"<pre>{escape(results['command'])}</pre>")
    body.append(f"<details><summary>all settings</summary><pre>{escape(config)}</pre></details>")
    facts = [list(fact) for fact in results["environment"].items()]
    body += ["<h2>Environment</h2>", _html_table([["", ""], *facts])]
    template = Template(Path(page.__file__).with_name("report.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(_TITLE), body="\n".join(body))


def _html_table(rows: Rows) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows[1:])
    return (
        f"<div class='scroll'><table><thead><tr>{cells(rows[0], 'th')}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _charts(results: dict, reading: str) -> str:
    """Validation while training, against the budget; and the final scores, a dot per seed."""
    cells = [c for c in results["cells"] if c["reading"] == reading]
    recipes = list(dict.fromkeys(c["recipe"] for c in cells))

    def series(points: Callable[[list[dict]], list[tuple[float, float]]]) -> list[Series]:
        return [Series(r, points([c for c in cells if c["recipe"] == r])) for r in recipes]

    x_label = "step" if reading == STEPS else "training, s"
    out = chart(
        series(lambda group: _mean_curve(group, reading)),
        title="Held-out photographs while training, mean over the seeds",
        x_label=x_label, y_label="student's PSNR-Y, dB",
    )  # fmt: skip
    spent = "seconds" if reading == STEPS else "steps"  # what differs between the recipes
    for name in results["bicubic"]["sets"]:
        levels = [
            Series(what, [(0.0, results[what]["sets"][name]["psnr_y"])], level=True)
            for what in ("bicubic", "teacher")
        ]
        out += chart(
            series(partial(_at_end, spent, name)) + levels,
            title=f"{name} at the end, a dot per seed", y_label="PSNR-Y, dB",
            x_label="training, s" if spent == "seconds" else "steps", lines=False, log_x=True,
        )  # fmt: skip
    return out


def _at_end(spent: str, name: str, group: list[dict]) -> list[tuple[float, float]]:
    return [(c[spent], c["sets"][name]["psnr_y"]) for c in group]


def _mean_curve(cells: Sequence[dict], reading: str) -> list[tuple[float, float]]:
    """Mean over the seeds at the steps that all have; x in steps, or seconds of training."""
    curves = [dict(map(tuple, c["curve"])) for c in cells]
    if not curves:
        return []
    unit = 1.0 if reading == STEPS else mean(c["ms_per_step"] for c in cells) / 1000
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    return [(step * unit, mean(curve[step] for curve in curves)) for step in common]

"""The experiment's report, in Markdown and as one HTML page, from results.json's contents alone."""

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path
from statistics import mean
from string import Template

import yaml

import csd.reporting.report as page
from csd.reporting.charts import Chart, Series, figure
from experiments.plan import BASELINES, REFERENCE, STEPS
from experiments.statistics import CONFIDENCE, Interval

_BUDGET = {"steps": "Equal steps", "time": "Equal wall time"}
_DIFFERENCES = f"Paired differences of PSNR-Y, with {CONFIDENCE * 100:.0f} % intervals:"
_TITLE = "What contrastive self-distillation adds: variants under one budget"

Rows = list[list[str]]


def verdicts(results: dict) -> list[str]:
    """A sentence per budget and comparison, claiming no more than its intervals support."""
    groups: dict[tuple, list[dict]] = {}
    for row in results["comparisons"]:
        groups.setdefault((row["budget"], row["variant"], row["against"]), []).append(row)
    sentences = []
    for (budget, variant, against), rows in groups.items():
        parts = ", ".join(_part(row["set"], Interval(**row["seeds"])) for row in rows)
        if rows[0]["seeds"]["n"] < 2:
            parts += "; of one seed alone no interval exists, so nothing is shown either way"
        sentences.append(f"{_BUDGET[budget]}, {variant} against {against}: {parts}.")
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


def score_table(results: dict, budget: str) -> Rows:
    """Header and rows: bicubic, teacher, and every variant with mean ± standard deviation."""
    sets = list(results["bicubic"]["sets"])
    rows = [
        ["variant", "steps", "ms per step", "training, s", *(f"{s} PSNR-Y / SSIM-Y" for s in sets)]
    ]
    for name in ("bicubic", "teacher"):
        scores = results[name]["sets"]
        columns = [f"{scores[s]['psnr_y']:.3f} / {scores[s]['ssim_y']:.4f}" for s in sets]
        rows.append([name, str(results[name].get("steps") or ""), "", "", *columns])
    for variant in dict.fromkeys(r["variant"] for r in results["summary"]):
        group = [c for c in results["runs"] if (c["budget"], c["variant"]) == (budget, variant)]
        found = {r["set"]: r for r in results["summary"]
                 if (r["budget"], r["variant"]) == (budget, variant)}  # fmt: skip
        if not group:
            continue
        rows.append(
            [
                variant,
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


def difference_table(results: dict, budget: str) -> Rows:
    """Header and rows of the paired differences."""
    rows = [["difference", "set", "mean, dB", "over seeds", "which says", "over images"]]
    for row in results["comparisons"]:
        if row["budget"] != budget:
            continue
        seeds, images = Interval(**row["seeds"]), Interval(**row["images"])
        rows.append(
            [
                f"{row['variant']} - {row['against']}",
                row["set"],
                f"{seeds.mean:+.3f}",
                f"[{seeds.low:+.3f}, {seeds.high:+.3f}]" if seeds.low is not None else "none",
                seeds.verdict,
                f"[{images.low:+.3f}, {images.high:+.3f}]" if images.low is not None else "none",
            ]
        )
    return rows


def _budgets(results: dict) -> list[str]:
    return list(dict.fromkeys(c["budget"] for c in results["runs"]))


def _notes(results: dict) -> list[str]:
    experiment = results["config"]["experiment"]
    count, percent = len(dict.fromkeys(experiment["seeds"])), round(CONFIDENCE * 100)
    notes = [
        f"{count} seed{'s' if count > 1 else ''}; mean ± standard deviation over the seeds. A seed "
        "decides initial weights, the order and the crops of the images, and the negatives; "
        "one teacher serves all seeds, so that its own luck is in no interval.",
        f"Differences are of PSNR-Y, paired by seed. Intervals are Student's t, {percent} %, each "
        "for itself: with many comparisons some exclude zero by chance. Those over images say "
        "how a difference varies from image to image (mean over the seeds), not from training "
        "to training.",
        "The scores are those of the last step: no checkpoint was chosen by its score.",
    ]
    table = results["calibration"]
    reference = table["reference"] if table else None
    # Where all runs of the reference failed there is no budget to show.
    if "time" in _budgets(results) and table and reference in table["ms_per_step"]:
        budget = table["ms_per_step"][reference] * table["reference_steps"] / 1000
        notes.append(
            f"Equal wall time: as many steps as fit into the {budget:.0f} s of {reference}'s "
            f"{table['reference_steps']} steps, by the median of the milliseconds per step that "
            "the runs of equal steps took; the schedule is stretched with them."
        )
    wanted = count * len(experiment["variants"]) * len(experiment["fair"])
    if len(results["runs"]) < wanted:
        notes.append(f"{len(results['runs'])} of {wanted} results are there; the rest is missing.")
    if results["failed"]:
        notes.append(f"Failed, and left out: {', '.join(results['failed'])}.")
    return notes


def _variants(results: dict) -> Rows:
    rows = [["variant", "base", "differs from the common settings in"]]
    for name, entry in results["config"]["experiment"]["variants"].items():
        changes = ", ".join(f"{k} = {v}" for k, v in entry.items() if k != "method")
        rows.append([name, entry["method"], changes])
    return rows


def _setting(results: dict) -> str:
    config = results["config"]
    model, train, data = config["model"], config["train"], config["data"]
    return (
        f"{model['name'].upper()} x{model['scale']}, {model['n_feats']} features"
        + (f", {model['n_resblocks']} blocks" if model["n_resblocks"] else "")
        + f"; student width {' and '.join(f'{w:g}' for w in train['widths'])}; "
        f"batch {train['batch_size']}, low-resolution "
        f"patch {data['lr_patch']}; {config['experiment']['steps']} steps"
    )


def markdown(results: dict) -> str:
    """The report in Markdown."""
    lines = [f"# {_TITLE}", "", f"{_setting(results)}."]
    if results["command"]:
        lines += ["", f"    {results['command']}"]
    lines += ["", "## Verdict", "", *(f"- {sentence}" for sentence in verdicts(results))]
    for budget in _budgets(results):
        lines += [
            "",
            f"## {_BUDGET[budget]}",
            "",
            *_markdown_table(score_table(results, budget)),
        ]
        differences = difference_table(results, budget)
        if len(differences) > 1:
            lines += ["", _DIFFERENCES, "", *_markdown_table(differences)]
    lines += ["", "## Variants", "", *_markdown_table(_variants(results))]
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
        main = f"{REFERENCE} against {BASELINES[0]}:" in sentence
        body.append(f"<p{' class=lead' if main else ''}>{escape(sentence)}</p>")
    for budget in _budgets(results):
        body += [f"<h2>{_BUDGET[budget]}</h2>", _html_table(score_table(results, budget))]
        differences = difference_table(results, budget)
        if len(differences) > 1:
            body += [f"<p>{_DIFFERENCES}</p>", _html_table(differences)]
        body.append(f'<div class="charts" style="margin-top:1rem">{_charts(results, budget)}</div>')
    body += ["<h2>Variants</h2>", _html_table(_variants(results)), "<h2>Notes</h2>"]
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
    def fields(row: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}>{escape(field)}</{tag}>" for field in row)

    body = "".join(f"<tr>{fields(row, 'td')}</tr>" for row in rows[1:])
    return (
        f"<div class='scroll'><table><thead><tr>{fields(rows[0], 'th')}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _charts(results: dict, budget: str) -> str:
    """Validation while training, against the budget; and the final scores, a dot per seed."""
    runs = [c for c in results["runs"] if c["budget"] == budget]
    variants = list(dict.fromkeys(c["variant"] for c in runs))

    def series(points: Callable[[list[dict]], list[tuple[float, float]]]) -> list[Series]:
        return [Series(r, points([c for c in runs if c["variant"] == r])) for r in variants]

    x_label = "step" if budget == STEPS else "training, s"
    out = figure(Chart(
        series(lambda group: _mean_curve(group, budget)),
        title="Held-out images while training, mean over the seeds",
        x_label=x_label, y_label="student's PSNR-Y, dB",
    ))  # fmt: skip
    spent = "seconds" if budget == STEPS else "steps"  # what differs between the variants
    for name in results["bicubic"]["sets"]:
        levels = [
            Series(what, [(0.0, results[what]["sets"][name]["psnr_y"])], level=True)
            for what in ("bicubic", "teacher")
        ]
        out += figure(Chart(
            series(partial(_at_end, spent, name)) + levels,
            title=f"{name} at the end, a dot per seed", y_label="PSNR-Y, dB",
            x_label="training, s" if spent == "seconds" else "steps", lines=False, log_x=True,
        ))  # fmt: skip
    return out


def _at_end(spent: str, name: str, group: list[dict]) -> list[tuple[float, float]]:
    return [(c[spent], c["sets"][name]["psnr_y"]) for c in group]


def _mean_curve(runs: Sequence[dict], budget: str) -> list[tuple[float, float]]:
    """Mean over the seeds at the steps that all have; x in steps, or seconds of training."""
    curves = [dict(map(tuple, c["curve"])) for c in runs]
    if not curves:
        return []
    unit = 1.0 if budget == STEPS else mean(c["ms_per_step"] for c in runs) / 1000
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    return [(step * unit, mean(curve[step] for curve in curves)) for step in common]

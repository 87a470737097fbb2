"""One self-contained HTML page about a run: tables, figures, and texts with each kind of error."""

import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from spacy import displacy

from benchmarks.quality import MISSED, NOTHING, f1
from spacy_openner.cli.render import label_color

KINDS = {
    "unlabelled": "a missed entity that no wrong prediction touches",
    "noisy": "right boundaries, wrong type",
    "boundary": "right type, wrong boundaries",
    "noisy_boundary": "overlap, but boundaries and type are both wrong",
    "spurious": "a prediction where there is nothing",
}
STYLE = """
body { font: 15px/1.5 system-ui, Helvetica, Arial, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem;
       color: #1f2933; background: #fff; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #cbd2d9; padding-bottom: .3rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 14px; display: block; max-width: 100%;
       overflow-x: auto; } li { overflow-wrap: anywhere; } th, td { padding: .25rem .7rem; text-align: left;
       border-bottom: 1px solid #e4e7eb; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; } .figures svg { max-width: 100%;
       height: auto; } .error { border-left: 3px solid #cbd2d9; padding: .1rem 1rem; margin: 1rem 0; }
.error p { margin: .3rem 0 0; color: #616e7c; font-size: 13px; } .entities { line-height: 2.2 !important; }
.note { color: #616e7c; } details { margin: .5rem 0; }
"""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as an HTML table."""
    kinds = {name: ' class="number"' if isinstance(value, int | float) else "" for name, value in rows[0].items()}
    head = "".join(f"<th{kind}>{escape(str(name))}</th>" for name, kind in kinds.items())
    body = "".join(f"<tr>{''.join(map(_cell, row.values()))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:.2f}</td>'
    kind = ' class="number"' if isinstance(value, int) else ""
    return f"<td{kind}>{escape(str(value))}</td>"


# Figures


def _svg(figure: Any) -> str:
    from matplotlib import pyplot

    stream = io.StringIO()
    figure.savefig(stream, format="svg", bbox_inches="tight")
    pyplot.close(figure)
    return stream.getvalue().partition("<svg")[1] + stream.getvalue().partition("<svg")[2]


def draw_types(quality: dict[str, Any]) -> str:
    """Draw a bar for the F1 of each type."""
    from matplotlib import pyplot

    rows = sorted(quality["per_type"].items(), key=lambda row: f1(*row[1]))
    figure, axes = pyplot.subplots(figsize=(5, 0.6 + 0.27 * len(rows)))
    bars = axes.barh([label for label, _ in rows], [f1(*counts) for _, counts in rows], color="#2a9d8f")
    axes.bar_label(bars, [f"{f1(*counts):.0f}  ({counts[2]})" for _, counts in rows], padding=3, fontsize=8)
    axes.set(xlim=(0, 112), xlabel="F1 (gold entities)")
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def draw_thresholds(quality: dict[str, Any]) -> str:
    """Draw precision, recall and F1 by threshold."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4.6, 3.2))
    # Where nothing is found, nothing can be said of its precision.
    curve = [(x, precision if recall else float("nan"), recall, f1) for x, precision, recall, f1 in quality["curve"]]
    x, *columns = zip(*curve, strict=True)
    for name, column, color in zip(
        ("precision", "recall", "F1"), columns, ("#457b9d", "#e9a03b", "#2a9d8f"), strict=True
    ):
        axes.plot(x, column, label=name, color=color)
    axes.set(xlabel="threshold", ylabel="%", ylim=(0, 100), xlim=(0, 1))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def draw_reliability(quality: dict[str, Any]) -> str:
    """Draw how many spans of a score are right."""
    from matplotlib import pyplot

    bins = [(total / n, right / n) for n, total, right in quality["reliability"] if n]
    figure, axes = pyplot.subplots(figsize=(3.6, 3.2))
    axes.plot([0, 1], [0, 1], color="#9aa5b1", linestyle="--", linewidth=1)
    axes.plot(*zip(*bins, strict=True), marker="o", color="#2a9d8f")
    axes.set(xlabel="mean score", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def draw_confusion(quality: dict[str, Any]) -> str:
    """Draw which type is taken for which, as shares of each gold type."""
    import numpy as np
    from matplotlib import pyplot

    labels = quality["labels"]
    rows, columns = [*labels, NOTHING], [*labels, MISSED]
    counts = np.zeros((len(rows), len(columns)))
    for gold, predicted, n in quality["confusion"]:
        counts[rows.index(gold), columns.index(predicted)] = n
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 1.2 + 0.36 * len(columns)
    figure, axes = pyplot.subplots(figsize=(size + 1, size))
    axes.imshow(shares, cmap="GnBu", vmin=0, vmax=1)
    for i, j in zip(*counts.nonzero(), strict=True):
        axes.text(
            j, i, int(counts[i, j]), ha="center", va="center", fontsize=7, color="w" if shares[i, j] > 0.6 else "k"
        )
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set(xlabel="predicted", ylabel="annotated")
    return _svg(figure)


# Errors


def render_errors(quality: dict[str, Any]) -> str:
    """Show texts with each kind of error: what is annotated, and what was predicted."""
    parts = []
    for kind, about in KINDS.items():
        counts = quality["errors"][kind]
        parts.append(f"<h4>{kind}: {about} ({counts['fp']} predictions, {counts['fn']} missed)</h4>")
        parts += [_render_example(mistake) for mistake in quality["examples"][kind]]
    return "".join(parts)


def _render_example(mistake: dict[str, Any]) -> str:
    focus = mistake["entity"]
    named = f"{escape(mistake['text'][focus['start'] : focus['end']])} ({escape(focus['label'])})"
    rows = (("annotated", mistake["gold"]), ("predicted", mistake["predicted"]))
    return (
        f'<div class="error"><p>{named}</p>'
        + "".join(_render(name, mistake["text"], spans) for name, spans in rows)
        + "</div>"
    )


def _render(name: str, text: str, spans: Sequence[dict[str, Any]]) -> str:
    ents = [{**span, "label": escape(span["label"])} for span in _flat(spans)]
    colors = {ent["label"]: label_color(ent["label"]) for ent in ents}
    markup = displacy.render(
        {"text": text, "ents": ents}, style="ent", manual=True, jupyter=False, options={"colors": colors}
    )
    return f"<p>{name}</p>{markup}"


def _flat(spans: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Leave out spans inside others: displaCy draws no text twice."""
    end = -1
    for span in sorted(spans, key=lambda span: (span["start"], -span["end"])):
        if span["start"] >= end:
            end = span["end"]
            yield span


# The page


def render_quality(quality: dict[str, Any]) -> str:
    """Write the sections of all sets."""
    parts = [f"<h2>Quality, threshold {quality['threshold']}</h2>", table(quality["rows"])]
    for name, measured in quality["sets"].items():
        figures = [draw(measured) for draw in (draw_types, draw_thresholds, draw_reliability, draw_confusion)]
        parts += [f"<h3>{escape(name)}</h3>", f'<div class="figures">{"".join(figures)}</div>']
        parts.append(f"<details><summary>Texts with each kind of error</summary>{render_errors(measured)}</details>")
    return "".join(parts)


def render_report(run: dict[str, Any], changes: dict[str, list[dict[str, Any]]] | None = None) -> str:
    """Write the page of a run, with what changed against another one."""
    machine = ", ".join(f"{name}: {value}" for name, value in run["machine"].items())
    parts = ["<h1>spacy-openner: benchmarks</h1>", f'<p class="note">{escape(run["date"])}. {escape(machine)}.</p>']
    for name, rows in (changes or {}).items():
        parts += [f"<h2>Against the run of before: {escape(name)}</h2>", table(rows)]
    for name, measured in run["benchmarks"].items():
        if name != "quality":
            parts += [
                f"<h2>{escape(name)}</h2>",
                f"<p><code>{escape(measured['command'])}</code></p>",
                table(measured["rows"]),
            ]
    if "quality" in run["benchmarks"]:
        parts.append(render_quality(run["benchmarks"]["quality"]))
    if run["left_out"]:
        items = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in run["left_out"].items())
        parts.append(f"<h2>Left out</h2><ul>{items}</ul>")
    page = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>spacy-openner: benchmarks</title>'
    return f"{page}<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"

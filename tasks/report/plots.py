"""The page's larger figures as inline SVG: loss curve, confusion matrix; rows of a forest plot stand in `forest`.

Text stays text and colours are the page's CSS variables, so one figure reads well on light and on dark.
The same facts always give the same bytes. Never writes a file and never opens a window.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from tasks.report.facts import Confusion, Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib knows no CSS variables: each stands in as a colour that nothing else uses, and is put back afterwards
INK, MUTED, LINE, BASE, TUNED, BAD = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", BASE: "base", TUNED: "tuned", BAD: "bad"}

NUMBERED_LABELS = 12  # a matrix with more labels than this is a heat map without numbers
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tunegate",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a label may hold a dollar sign
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
}


def loss_curve(history: Sequence[Step], best_step: int) -> str:
    """Training and validation loss (natural-log cross-entropy a token) over steps, the best step marked.

    The axis is logarithmic where the losses span more than a factor of twenty.
    """
    train = [(step.step, step.loss) for step in history if step.loss is not None]
    validation = [(step.step, step.eval_loss) for step in history if step.eval_loss is not None]
    losses = [loss for _, loss in (*train, *validation)]
    if not losses:
        return ""
    with _drawing(4.8, 2.6) as (drawing, axes):
        if train:
            axes.plot(*zip(*train, strict=True), color=BASE, linewidth=1.4, label="training")
        if validation:
            style: dict[str, Any] = {"linestyle": (0, (5, 2)), "marker": "o", "markersize": 4}
            axes.plot(*zip(*validation, strict=True), color=TUNED, linewidth=1.8, label="validation", **style)
        if min(losses) > 0 and max(losses) / min(losses) > 20:
            _in_decades(axes)
        else:
            axes.set_ylim(bottom=0)
            axes.set_ylabel("loss per token")
        axes.axvline(best_step, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_xlabel("step")
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)
        _note_best_step(axes, best_step, max(step.step for step in history))
        return _svg(drawing, "loss", "Loss over the training", _loss_in_words(train, validation, best_step))


def _in_decades(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", which="minor", length=0)
    axes.set_ylabel("loss per token, log scale")


def _note_best_step(axes: Axes, best_step: int, last_step: int) -> None:
    left = best_step > last_step / 2
    axes.annotate(
        f"best: step {best_step:,}",
        (best_step, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if left else 5, -4),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
    )


def _loss_in_words(train: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]], best_step: int) -> str:
    parts = [
        f"{name} loss from {points[0][1]:.3f} at step {points[0][0]} to {points[-1][1]:.3f} at step {points[-1][0]}"
        for name, points in (("Training", train), ("Validation", validation))
        if points
    ]
    return f"{'; '.join(parts)}. Best step: {best_step}."


def confusion_matrix(confusion: Confusion, name: str = "confusion") -> str:
    """Expected label by row, predicted label by column; darker is a larger share of the row.

    Up to twelve labels each cell carries its count; beyond that a cell tells its count when pointed at. `name` must be
    another one for each matrix of a page.
    """
    from matplotlib.patches import Rectangle

    labels, counts = confusion.labels, confusion.counts
    size = len(labels)
    numbered = size <= NUMBERED_LABELS
    titles: dict[str, str] = {}
    with _drawing(4.6, 4.4 if size > 4 else 3.6) as (drawing, axes):
        for row, cells in enumerate(counts):
            for column, count in enumerate(cells):
                if not count:
                    continue
                cell = f"cell-{row}-{column}"
                colour = TUNED if row == column else BAD
                # never fully opaque, so that the number on it reads on light and on dark
                alpha = 0.12 + 0.43 * count / sum(cells) if numbered else 0.25 + 0.75 * count / sum(cells)
                axes.add_patch(
                    Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=round(alpha, 3), gid=cell)
                )
                titles[cell] = f"expected {labels[row]}, answered {labels[column]}: {count}"
                if numbered:
                    axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=9 if size < 8 else 7)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_xlabel("answered by the tuned model")
        axes.set_ylabel("expected")
        axes.spines[["top", "right"]].set_visible(True)
        _label_cells(axes, labels if numbered else ())
        right = sum(counts[i][i] for i in range(size))
        words = (
            f"{size} labels. {right} of {sum(map(sum, counts))} rows lie on the diagonal, where the answer is right."
        )
        of = f" for the field {confusion.field}" if confusion.field else ""
        return _svg(drawing, name, f"Confusion matrix of the tuned model{of}", words, titles)


def _label_cells(axes: Axes, labels: Sequence[str]) -> None:
    places = range(len(labels))
    names = [label if len(label) <= 18 else f"{label[:17]}…" for label in labels]
    axes.set_xticks(places, names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    axes.tick_params(length=0, labelcolor=INK)
    axes.grid(visible=False)


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of the page's style, `width` by `height` inches. Ignores the machine's own settings, and keeps them."""
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.style.context(SETTINGS, after_reset=True):
        drawing = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(drawing)
        yield drawing, drawing.add_subplot()


def _svg(drawing: Figure, name: str, title: str, description: str, titles: Mapping[str, str] | None = None) -> str:
    """The figure as an `<svg>` element that can stand in a page beside others.

    Args:
        drawing: the figure.
        name: prefix of every id in it, so that two figures do not clash.
        title: its name for a screen reader.
        description: what it shows, in words.
        titles: by gid, the text that a part of the figure tells when pointed at.
    """
    stream = io.StringIO()
    drawing.savefig(
        stream, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    # the page's own font, at the size that matplotlib laid out
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r' (id|xlink:href|href)="(#?)', rf' \1="\2{name}-', svg).replace("url(#", f"url(#{name}-")
    for gid, text in (titles or {}).items():
        svg = svg.replace(f'<g id="{name}-{gid}">', f'<g id="{name}-{gid}"><title>{escape(text)}</title>', 1)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    head = (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    return head + svg[svg.index(">") + 1 :]

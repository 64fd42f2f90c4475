"""Drawings as SVG text: rasters, convergence, and fronts, that need nothing to be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

MUTED = "var(--muted)"
LINE = "var(--line)"
SERIES = tuple(f"var(--series-{k})" for k in range(4))
"""Colours of page.css, light or dark as the page is."""


def raster(groups: Sequence[tuple[str, npt.NDArray[np.uint8]]], *, title: str) -> str:
    """Draw spikes over steps.

    Parameters
    ----------
    groups : sequence of (name, array of shape (steps, neurons))
        Drawn above one another, each in its own colour.
    title : for readers who cannot see the drawing
    """
    steps = groups[0][1].shape[0]
    left, cell_width, row, gap = 90, 560 / steps, 3.0, 14.0
    parts: list[str] = []
    y = 18.0
    for index, (name, spikes) in enumerate(groups):
        height = row * spikes.shape[1]
        parts.append(_text(left - 8, y + height / 2 + 4, name, anchor="end"))
        parts.append(
            f'<rect x="{left}" y="{y:.1f}" width="{steps * cell_width:.1f}" height="{height:.1f}" '
            f'fill="none" stroke="{LINE}"/>'
        )
        color = SERIES[index % len(SERIES)]
        for t, neuron in np.argwhere(spikes):
            parts.append(
                f'<rect x="{left + t * cell_width + 2:.1f}" y="{y + neuron * row:.1f}" '
                f'width="{cell_width - 4:.1f}" height="{row - 0.6:.1f}" fill="{color}"/>'
            )
        y += height + gap
    for t in range(steps):
        parts.append(_text(left + (t + 0.5) * cell_width, y + 4, f"t = {t + 1}", anchor="middle"))
    return _svg(left + 560 + 10, y + 14, title, parts)


def convergence(series: Sequence[tuple[str, npt.NDArray[np.float64]]], *, title: str) -> str:
    """Draw positive quantities over iterations on a logarithmic scale.

    Parameters
    ----------
    series : sequence of (name, array of shape (points, 2))
        Iteration and value; values of 0 or less cannot be drawn and are left out.
    """
    curves = [(name, points[points[:, 1] > 0]) for name, points in series]
    curves = [(name, points) for name, points in curves if len(points)]
    if not curves:
        return ""
    values = np.concatenate([points[:, 1] for _, points in curves])
    low, high = math.floor(np.log10(values.min())), math.ceil(np.log10(values.max()))
    high = max(high, low + 1)
    last = max(1.0, max(float(points[-1, 0]) for _, points in curves))
    left, top, width, height = 70.0, 16.0, 560.0, 260.0
    parts: list[str] = []
    stride = max(1, (high - low) // 8)
    for decade in range(low, high + 1, stride):
        y = top + height * (high - decade) / (high - low)
        parts.append(
            f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="{LINE}"/>'
        )
        parts.append(_text(left - 8, y + 4, f"1e{decade}", anchor="end"))
    for index, (name, points) in enumerate(curves):
        x = left + width * points[:, 0] / last
        y_values = top + height * (high - np.log10(points[:, 1])) / (high - low)
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y_values, strict=True))
        color = SERIES[index % len(SERIES)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(_text(left + width - 6, top + 16 + 18 * index, name, anchor="end", fill=color))
    for share in (0.0, 0.5, 1.0):
        label = f"{share * last:.0f}"
        parts.append(_text(left + width * share, top + height + 18, label, anchor="middle"))
    parts.append(_text(left + width / 2, top + height + 36, "iterations", anchor="middle"))
    return _svg(left + width + 30, top + height + 44, title, parts)


def tradeoff(
    points: Sequence[tuple[float, float, str]], *, across: str, up: str, title: str
) -> str:
    """Draw points of a front, each (value across, share from 0 to 1, name), as steps between them.

    ``across`` and ``up`` name the axes.
    """
    x_values, shares = np.array([point[:2] for point in points], dtype=np.float64).T
    left, top, width, height = 70.0, 16.0, 560.0, 260.0
    last = max(1.0, float(x_values.max()))
    low = math.floor(20 * float(shares.min())) / 20
    high = max(low + 0.05, math.ceil(20 * float(shares.max())) / 20)
    x = left + width * x_values / last
    y = top + height * (high - shares) / (high - low)
    parts: list[str] = []
    for share in np.linspace(low, high, 6):
        level = top + height * (high - share) / (high - low)
        ends = f'x1="{left}" x2="{left + width}" y1="{level:.1f}" y2="{level:.1f}"'
        parts.append(f'<line {ends} stroke="{LINE}"/>')
        parts.append(_text(left - 8, level + 4, f"{share:.0%}", anchor="end"))
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    parts.append(f'<polyline points="{path}" fill="none" stroke="{SERIES[0]}" stroke-width="2"/>')
    for (_, _, name), a, b in zip(points, x, y, strict=True):
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{SERIES[0]}"/>')
        parts.append(_text(a - 6, b - 8, name, anchor="end"))
    for share in (0.0, 0.5, 1.0):
        label = f"{share * last:,.0f}"
        parts.append(_text(left + width * share, top + height + 18, label, anchor="middle"))
    parts.append(_text(left + width / 2, top + height + 36, f"{across}; {up}", anchor="middle"))
    return _svg(left + width + 30, top + height + 44, title, parts)


_ALONE = ":root{--muted:#57606a;--line:#d0d7de;--series-0:#0b6bcb;--series-1:#b35900}"


def alone(drawing: str) -> str:
    """A drawing as a file of its own, which states the colours that a page would."""
    head, end, rest = drawing.partition(">")
    return f"{head}{end}<style>{_ALONE}</style>{rest}\n"


def _text(x: float, y: float, text: str, *, anchor: str, fill: str = MUTED) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="12">'
        f"{escape(text)}</text>"
    )


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )

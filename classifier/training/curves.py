"""Draw a training's learning curves as an SVG, which every browser shows and no library is needed for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from classifier.training.training_state import EpochResult

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 360, 220, 60, 40, 80
_COLOURS = ("#1f6fb2", "#c4561b")
_TICKS = 4


def svg(losses: Points, history: Sequence[EpochResult], *, title: str) -> str:
    """Return a picture: the loss by step, and accuracy and macro-F1 on the validation split by epoch."""
    scores = {
        "accuracy": [(float(epoch.epoch), epoch.accuracy) for epoch in history],
        "macro-F1": [(float(epoch.epoch), epoch.macro_f1) for epoch in history],
    }
    width = 2 * (_LEFT + _WIDTH) + _GAP - _LEFT + 20
    box = f'viewBox="0 0 {width} {_TOP + _HEIGHT + 60}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{_escaped(title)}</text>',
        *_panel(_LEFT, {"loss, mean since the epoch's start": losses}, "step"),
        *_panel(_LEFT + _WIDTH + _GAP, scores, "epoch (validation)"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(left: float, curves: Mapping[str, Points], below: str) -> list[str]:
    """Draw curves into one frame, with their names in their colours."""
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return []
    horizontal, vertical = _range([x for x, _ in points]), _range([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - horizontal[0]) / (horizontal[1] - horizontal[0])
        up = (y - vertical[0]) / (vertical[1] - vertical[0])
        return left + across * _WIDTH, _TOP + (1 - up) * _HEIGHT

    drawn = [f'<rect x="{left}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#888"/>']
    drawn += _ticks(left, horizontal, vertical)
    drawn.append(f'<text x="{left + _WIDTH / 2}" y="{_TOP + _HEIGHT + 36}" text-anchor="middle">{below}</text>')
    for index, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        drawn.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        dots = curve if len(curve) <= 20 else []
        drawn += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in (place(*dot) for dot in dots)
        ]
        drawn.append(f'<text x="{left + 8}" y="{_TOP + 16 + 15 * index}" fill="{colour}">{_escaped(name)}</text>')
    return drawn


def _ticks(left: float, horizontal: tuple[float, float], vertical: tuple[float, float]) -> list[str]:
    drawn = []
    for index in range(_TICKS + 1):
        share = index / _TICKS
        x, y = left + share * _WIDTH, _TOP + (1 - share) * _HEIGHT
        across, up = (low + share * (high - low) for low, high in (horizontal, vertical))
        drawn.append(f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{across:.4g}</text>')
        drawn.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{up:.3g}</text>')
    return drawn


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis, which are never equal."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""Learning curves are an SVG that a browser displays."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from classifier.training.curves import svg
from classifier.training.training_state import EpochResult

SVG = "{http://www.w3.org/2000/svg}"


def drawn(losses, scores):
    history = [EpochResult(number, 0.1, accuracy, f1, 1.0) for number, (accuracy, f1) in enumerate(scores, start=1)]
    return ET.fromstring(svg(losses, history, title="m & <1>"))


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def test_the_loss_falls_and_the_scores_rise_inside_their_frames():
    picture = drawn([(10, 2.0), (20, 1.0), (30, 0.5)], [(0.5, 0.4), (0.9, 0.8)])
    loss, accuracy, f1 = (points(line) for line in picture.iter(f"{SVG}polyline"))
    assert [y for _, y in loss] == sorted(y for _, y in loss), "downwards is larger in a picture"
    assert accuracy[0][1] > accuracy[1][1]
    assert f1[0][1] > accuracy[0][1]
    left, right = [frame for frame in picture.iter(f"{SVG}rect") if frame.get("stroke")]
    for frame, line in ((left, loss), (right, accuracy), (right, f1)):
        x, y, width, height = (float(frame.get(name)) for name in ("x", "y", "width", "height"))
        assert all(x <= across <= x + width and y <= down <= y + height for across, down in line)
    assert picture.find(f"{SVG}text").text == "m & <1>"


def test_one_point_or_no_point_is_drawn_too():
    assert list(drawn([], []).iter(f"{SVG}polyline")) == []
    assert len(list(drawn([(1, 0.5)], [(1.0, 1.0)]).iter(f"{SVG}polyline"))) == 3

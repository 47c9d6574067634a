"""Learning curves are an SVG document that a browser shows."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from classifier import charts
from classifier.training.curves import svg
from classifier.training.training_state import EpochResult

SVG = "{http://www.w3.org/2000/svg}"


def draw(losses, scores):
    history = [EpochResult(number, 0.1, accuracy, f1, 1.0) for number, (accuracy, f1) in enumerate(scores, start=1)]
    return ET.fromstring(svg(losses, history, title="m & <1>"))


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def test_the_loss_falls_and_the_scores_rise_inside_their_axes():
    document = draw([(10, 2.0), (20, 1.0), (30, 0.5)], [(0.5, 0.4), (0.9, 0.8)])
    loss, f1, accuracy = (points(line) for line in document.iter(f"{SVG}polyline"))
    assert [y for _, y in loss] == sorted(y for _, y in loss), "downwards is larger in a picture"
    assert accuracy[0][1] > accuracy[1][1]
    assert f1[0][1] > accuracy[0][1]
    for line in (loss, accuracy, f1):
        assert all(charts.LEFT <= x <= charts.WIDTH - charts.RIGHT for x, _ in line)
        assert all(charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM for _, y in line)


def test_the_charts_stand_next_to_each_other_below_the_escaped_title():
    document = draw([(10, 2.0)], [(0.5, 0.4)])
    left, right = document.findall(f"{SVG}svg")
    assert float(left.get("x")) + float(left.get("width")) == float(right.get("x"))
    width, height = (float(number) for number in document.get("viewBox").split()[2:])
    assert float(right.get("x")) + float(right.get("width")) == width
    assert float(right.get("y")) + float(right.get("height")) == height
    assert document.find(f"{SVG}text").text == "m & <1>"


def test_one_point_or_none_is_a_document_too():
    assert list(draw([], []).iter(f"{SVG}polyline")) == []
    assert len(list(draw([(1, 0.5)], [(1.0, 1.0)]).iter(f"{SVG}polyline"))) == 3

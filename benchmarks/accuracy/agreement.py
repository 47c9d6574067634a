"""Compare the labels of the bfloat16 engine with those of float32, on a trained model's test articles.

Both label the same articles with OpenVINO in the batches that labelling makes. The model is a directory that
`classifier train` wrote; nothing is written into it.

    python -m benchmarks.accuracy.agreement MODEL --dataset r8-test --out benchmarks/results/agreement.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support import common


def main() -> None:
    """Label with both and report."""
    parser = common.data_parser(__doc__)
    parser.add_argument("model", type=Path, help="directory of a trained model")
    parser.add_argument("--dataset", choices=("r8-test", "bbc"), default="r8-test")
    parser.add_argument("--limit", type=int, help="label only this many articles")
    options = parser.parse_args()
    rows = read(options.dataset, options.data, options.cache)[: 20 if options.quick else options.limit]
    run = {"dataset": options.dataset, "model": options.model.name, **compare(options.model, rows)}
    for key, value in run.items():
        print(f"{key:24} {value}")
    common.report([run], options.out)


def read(dataset: str, data: Path, cache: Path) -> list[common.Row]:
    """Return the articles of the data set."""
    return common.demo_data(cache)[1][1] if dataset == "r8-test" else common.read_bbc(data)


def compare(directory: Path, rows: list[common.Row]) -> dict[str, Any]:
    """Return how far the labels and probabilities of the two engines agree, and the accuracy of each."""
    from classifier.inference.fine_tuned_classifier import FineTunedClassifier
    from classifier.model import artefact

    files = artefact.read_artefact(directory)
    texts = [content for content, _ in rows]
    truth = np.array([files.categories.index(name) if name in files.categories else -1 for _, name in rows])
    probabilities, names = {}, {}
    classifier = FineTunedClassifier(files.load())
    for precision in ("f32", "bf16"):
        labeller = classifier.labeller("openvino", dtype=precision)
        probabilities[precision] = labeller.probabilities(texts)
        names[precision] = labeller.engine.dtype
    difference = np.abs(probabilities["f32"] - probabilities["bf16"]).max(axis=1)
    labels = {precision: values.argmax(axis=1) for precision, values in probabilities.items()}
    accuracy = {precision: float((predicted == truth).mean()) for precision, predicted in labels.items()}
    return {
        "articles": len(rows),
        "precision": names["bf16"],
        "agreement": round(float((labels["f32"] == labels["bf16"]).mean()), 5),
        "accuracy_f32": round(accuracy["f32"], 5),
        "accuracy_bf16": round(accuracy["bf16"], 5),
        "accuracy_difference_points": round(100 * (accuracy["bf16"] - accuracy["f32"]), 3),
        "largest_difference": round(float(difference.max()), 5),
        "mean_difference": round(float(difference.mean()), 6),
    }


if __name__ == "__main__":
    main()

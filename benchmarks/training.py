"""How fast training is, and how good: this project, the tutorial's TensorFlow loop, and Hugging Face's `Trainer`.

All train the same encoder on the same articles for the same epochs, validate after each, and are measured
on the same test articles; each runs in a process of its own with the machine's threads. What is timed is
all that a user waits for once the encoder is loaded: tokenising, compiling, our head's probe, steps and
validation. Ours is trained a second time with a head that starts at random, as the others' do.

The tutorial's loop pads to 512 word pieces, batch 16, float32, Adam at 5e-5. `Trainer` has dynamic padding,
`group_by_length` and ours' learning rate, warm-up and weight decay; the faster of float32 and bfloat16
counts, and bfloat16 is left out where the processor has no instructions for it, since PyTorch takes twenty
times as long there. Texts are cut at 512 word pieces by all.

    python benchmarks/training.py --datasets r8 --train 560 --out benchmarks/results/training-r8.json
    python benchmarks/training.py --datasets bbc --train 400 --test 1250 --out benchmarks/results/training-bbc.json
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import common
import numpy as np

from classifier.model import hardware

MAX_LENGTH = 512
BATCH = 16
LEARNING_RATE, WARMUP, WEIGHT_DECAY = 2e-4, 0.1, 0.01


@dataclass(frozen=True)
class Articles:
    """Texts with their categories' positions."""

    texts: list[str]
    targets: list[int]


@dataclass(frozen=True)
class Task:
    """What each contender is given."""

    name: str
    encoder: Path
    categories: int
    epochs: int
    train: Articles
    validation: Articles
    test: Articles


def main() -> None:
    """Draw the samples, run the contenders in turn, and report."""
    options = arguments()
    encoder, r8 = common.demo_data(options.cache)
    articles = {"r8": lambda: r8, "bbc": lambda: bbc(options.data)}
    tasks = [task(name.upper(), *articles[name](), encoder, options) for name in options.datasets]
    common.report([compare(one, options.repeats) for one in tasks], options.out)


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--datasets", nargs="+", choices=["r8", "bbc"], default=["r8", "bbc"])
    parser.add_argument("--train", type=int, default=640, help="articles to train on")
    parser.add_argument("--test", type=int, default=500, help="articles to test on")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1, help="trainings of each, with seeds 1, 2, ...")
    options = parser.parse_args()
    if options.quick:
        options.datasets, options.train, options.test, options.epochs = ["r8"], 32, 16, 1
    return options


def task(
    name: str, train: list[tuple[str, str]], test: list[tuple[str, str]], encoder: Path, options: argparse.Namespace
) -> Task:
    """Draw the articles, the same for every contender; a tenth as many again validate.

    Where more are to be tested on than the test split has, train articles that none of them is given make up for it.
    """
    generator = random.Random(1)
    known = sorted({category for _, category in train})
    drawn = generator.sample(train, min(len(train), options.train + options.train // 10))
    tested = generator.sample(test, min(len(test), options.test))
    given = set(drawn)
    tested += [row for row in train if row not in given][: options.test - len(tested)]

    def articles(rows: list[tuple[str, str]]) -> Articles:
        return Articles([text for text, _ in rows], [known.index(category) for _, category in rows])

    parts = articles(drawn[: options.train]), articles(drawn[options.train :]), articles(tested)
    return Task(name, encoder, len(known), options.epochs, *parts)


def bbc(data: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return BBC's distinct articles, a fifth of them to test on."""
    with (data / "bbc-text.csv").open(encoding="utf-8", newline="") as file:
        rows = list({row["text"]: row["category"] for row in csv.DictReader(file)}.items())
    random.Random(1).shuffle(rows)
    return rows[len(rows) // 5 :], rows[: len(rows) // 5]


Contender = Callable[[Task, int], tuple[float, list[int]]]
"""Trains with a seed; returns the seconds of it, and the predicted category of each test article."""


def compare(task: Task, repeats: int) -> dict[str, Any]:
    """Run every contender so many times, in turn, each time with another seed."""
    left_out = set() if hardware.multiplies_bfloat16() else {"hf_trainer_bf16"}
    contenders = {name: one for name, one in CONTENDERS.items() if name not in left_out}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for seed in range(1, repeats + 1):
        for name, contender in contenders.items():
            (seconds, predicted), _ = common.in_a_process(contender, task, seed)
            accuracy = float(np.mean(np.array(predicted) == np.array(task.test.targets)))
            found[name].append((task.epochs * len(task.train.texts) / seconds, accuracy))
            print(f"{task.name:4} {name:16} {found[name][-1][0]:8.1f} articles/s   accuracy {accuracy:.4f}", flush=True)
    return summary(task, found, repeats)


def summary(task: Task, found: dict[str, list[tuple[float, float]]], repeats: int) -> dict[str, Any]:
    """Return the run's figures: the median speed, the ratios, the mean accuracy, and the spread of both."""
    rate = {name: float(np.median([speed for speed, _ in runs])) for name, runs in found.items()}
    accuracy = {name: round(float(np.mean([one for _, one in runs])), 4) for name, runs in found.items()}
    trainer = max((name for name in rate if name.startswith("hf_trainer")), key=rate.__getitem__)
    return {
        "dataset": task.name,
        "model": "22 M parameters",
        "train_articles": len(task.train.texts),
        "test_articles": len(task.test.texts),
        "epochs": task.epochs,
        "ours_docs_per_s": round(rate["ours"], 2),
        "tutorial_docs_per_s": round(rate["tutorial"], 2),
        "hf_trainer_docs_per_s": round(rate[trainer], 2),
        "hf_trainer": trainer.removeprefix("hf_trainer_"),
        "ratio_tutorial": round(rate["ours"] / rate["tutorial"], 2),
        "ratio_hf_trainer": round(rate["ours"] / rate[trainer], 2),
        "ours_accuracy": accuracy["ours"],
        "tutorial_accuracy": accuracy["tutorial"],
        "hf_trainer_accuracy": accuracy[trainer],
        "random_head_docs_per_s": round(rate["ours_random_head"], 2),
        "random_head_accuracy": accuracy["ours_random_head"],
        "repeats": repeats,
        "spread": {name: [round(min(runs)[0], 2), round(max(runs)[0], 2)] for name, runs in found.items()},
        "accuracies": {name: [round(one, 4) for _, one in runs] for name, runs in found.items()},
    }


def ours(task: Task, seed: int, *, head: str = "probe") -> tuple[float, list[int]]:
    """Train as `classifier train` does."""
    from classifier.model import checkpoint
    from classifier.model.network import Network
    from classifier.model.tokenization import Tokenization
    from classifier.training import fit
    from classifier.training.recipes import Recipe

    pretrained, tokenization = checkpoint.read(task.encoder), Tokenization.read(task.encoder, MAX_LENGTH)

    def tokenized(articles: Articles) -> fit.Tokenized:
        return fit.Tokenized(tokenization.pieces(articles.texts), np.array(articles.targets))

    recipe = Recipe(
        epochs=task.epochs,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        max_length=MAX_LENGTH,
        patience=task.epochs,
        head=head,
        seed=seed,
    )
    start = time.perf_counter()
    train, validation = tokenized(task.train), tokenized(task.validation)
    fitted = fit.fit(pretrained, train, validation, recipe, categories=task.categories)
    seconds = time.perf_counter() - start
    network = Network(pretrained.shape, task.categories, precision=fitted.precision)  # type: ignore[arg-type]
    network.load(replace(pretrained, weights=fitted.weights))
    found = fit.predict(network, tokenized(task.test), size=2 * BATCH)
    return seconds, [int(one) for one in found.argmax(axis=1)]


def ours_random_head(task: Task, seed: int) -> tuple[float, list[int]]:
    """Train as `classifier train` does, with a head that starts at random as the others' do."""
    return ours(task, seed, head="random")


def tutorial(task: Task, seed: int) -> tuple[float, list[int]]:
    """Train with a native TensorFlow loop, as the tutorial does, on the same network."""
    import tensorflow as tf
    from transformers import AutoTokenizer

    from classifier.model import checkpoint, network

    pretrained, tokenizer = checkpoint.read(task.encoder), AutoTokenizer.from_pretrained(task.encoder)
    ours = network.Network(pretrained.shape, task.categories, seed=seed)
    ours.load(pretrained)
    # a new one has none of our tuning: whole batches, Keras' dropout
    model = network._build(pretrained.shape, task.categories, 0.1, "float32")  # noqa: SLF001
    model.set_weights(ours.snapshot())
    for layer in model.backbone.transformer_layers:
        layer._feedforward_intermediate_dense.activation = tf.nn.gelu  # noqa: SLF001 - keras-hub's, uncompiled

    def dataset(articles: Articles) -> tf.data.Dataset:
        encoded = tokenizer(articles.texts, padding="max_length", truncation=True, max_length=MAX_LENGTH)
        inputs = {"token_ids": encoded["input_ids"], "padding_mask": encoded["attention_mask"]}
        return tf.data.Dataset.from_tensor_slices((inputs, articles.targets))

    optimizer = tf.keras.optimizers.Adam(5e-5)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(targets, model(inputs, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    @tf.function
    def logits(inputs: Any) -> Any:
        return model(inputs, training=False)

    def predicted(articles: Articles) -> list[int]:
        parts = [tf.argmax(logits(inputs), axis=1).numpy() for inputs, _ in dataset(articles).batch(BATCH)]
        return [int(one) for one in np.concatenate(parts)]

    start = time.perf_counter()
    train = dataset(task.train).shuffle(len(task.train.texts), seed=seed).batch(BATCH)
    for _ in range(task.epochs):
        for inputs, targets in train:
            step(inputs, targets)
        predicted(task.validation)
    return time.perf_counter() - start, predicted(task.test)


def trainer_f32(task: Task, seed: int) -> tuple[float, list[int]]:
    """Train with `Trainer` in float32."""
    return _trainer(task, seed, bf16=False)


def trainer_bf16(task: Task, seed: int) -> tuple[float, list[int]]:
    """Train with `Trainer` in bfloat16."""
    return _trainer(task, seed, bf16=True)


def _trainer(task: Task, seed: int, *, bf16: bool) -> tuple[float, list[int]]:
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(seed)  # the new head's weights, too
    torch.set_num_threads(os.cpu_count() or 1)
    tokenizer = AutoTokenizer.from_pretrained(task.encoder)
    model = AutoModelForSequenceClassification.from_pretrained(task.encoder, num_labels=task.categories)

    def rows(articles: Articles) -> list[dict[str, Any]]:
        encoded = tokenizer(articles.texts, truncation=True, max_length=MAX_LENGTH)
        names = ("input_ids", "attention_mask")
        return [
            {**{name: encoded[name][row] for name in names}, "labels": target}
            for row, target in enumerate(articles.targets)
        ]

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            num_train_epochs=task.epochs,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=2 * BATCH,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="cosine",
            warmup_steps=WARMUP,
            weight_decay=WEIGHT_DECAY,
            train_sampling_strategy="group_by_length",
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            bf16=bf16,
            use_cpu=True,
            disable_tqdm=True,
            seed=seed,
        )
        start = time.perf_counter()
        trainer = Trainer(
            model=model,
            args=settings,
            train_dataset=rows(task.train),
            eval_dataset=rows(task.validation),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        seconds = time.perf_counter() - start
        trainer.args.train_sampling_strategy = "random"  # predictions come in the order of the lengths otherwise
        found = trainer.predict(rows(task.test)).predictions
    return seconds, [int(one) for one in found.argmax(axis=1)]


CONTENDERS: dict[str, Contender] = {
    "ours": ours,
    "ours_random_head": ours_random_head,
    "tutorial": tutorial,
    "hf_trainer_f32": trainer_f32,
    "hf_trainer_bf16": trainer_bf16,
}


if __name__ == "__main__":
    main()

"""The trainings that `training.py` compares: this project, the tutorial's TensorFlow loop, Hugging Face's `Trainer`.

Each takes a task and a seed, and returns the seconds of its training and its predictions for the test articles.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

MAX_LENGTH = 512
BATCH = 16
LEARNING_RATE, WARMUP, WEIGHT_DECAY = 2e-4, 0.1, 0.01


@dataclass(frozen=True)
class Articles:
    """Texts and the indices of their categories."""

    texts: list[str]
    targets: list[int]


@dataclass(frozen=True)
class Task:
    """The input of each contender."""

    name: str
    encoder: Path
    categories: int
    epochs: int
    train: Articles
    validation: Articles
    test: Articles
    batch: int = BATCH


Trained = tuple[float, list[int]]
"""The seconds of a training, and the predicted category of each test article."""


def ours(task: Task, seed: int, *, head: str = "probe") -> Trained:
    """Train as `classifier train` does."""
    from classifier.model import checkpoint
    from classifier.model.keras.network import Network
    from classifier.model.tokenization import Tokenization
    from classifier.training import fit
    from classifier.training.recipes import Recipe

    pretrained, tokenization = checkpoint.read_checkpoint(task.encoder), Tokenization.read(task.encoder, MAX_LENGTH)

    def tokenized(articles: Articles) -> fit.TokenizedArticles:
        return fit.TokenizedArticles(tokenization.pieces(articles.texts), np.array(articles.targets))

    recipe = Recipe(
        epochs=task.epochs,
        batch_size=task.batch,
        learning_rate=LEARNING_RATE,
        max_length=MAX_LENGTH,
        patience=task.epochs,
        head=head,
        seed=seed,
    )
    start = time.perf_counter()
    train, validation = tokenized(task.train), tokenized(task.validation)
    fitted = fit.fit_classifier(pretrained, train, validation, recipe, categories=task.categories)
    seconds = time.perf_counter() - start
    network = Network(pretrained.shape, task.categories, dtype=fitted.dtype)  # type: ignore[arg-type]
    network.load(replace(pretrained, weights=fitted.weights))
    scores = fit.predict(network, tokenized(task.test), size=2 * task.batch)
    return seconds, [int(category) for category in scores.argmax(axis=1)]


def ours_random_head(task: Task, seed: int) -> Trained:
    """Train as `classifier train` does, but from a random head like the other contenders."""
    return ours(task, seed, head="random")


def tutorial(task: Task, seed: int) -> Trained:
    """Train with a native TensorFlow loop, as the tutorial does, on the same network."""
    import tensorflow as tf
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(task.encoder)
    model = _untuned(task, seed)
    optimizer = tf.keras.optimizers.Adam(5e-5)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def dataset(articles: Articles) -> tf.data.Dataset:
        encoded = tokenizer(articles.texts, padding="max_length", truncation=True, max_length=MAX_LENGTH)
        inputs = {"token_ids": encoded["input_ids"], "padding_mask": encoded["attention_mask"]}
        return tf.data.Dataset.from_tensor_slices((inputs, articles.targets))

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
        parts = [tf.argmax(logits(inputs), axis=1).numpy() for inputs, _ in dataset(articles).batch(task.batch)]
        return [int(category) for category in np.concatenate(parts)]

    start = time.perf_counter()
    train = dataset(task.train).shuffle(len(task.train.texts), seed=seed).batch(task.batch)
    for _ in range(task.epochs):
        for inputs, targets in train:
            step(inputs, targets)
        predicted(task.validation)
    return time.perf_counter() - start, predicted(task.test)


def _untuned(task: Task, seed: int) -> Any:
    """Return the network with a new head and without our optimizations: undivided batches, Keras' dropout, GELU."""
    import tensorflow as tf

    from classifier.model import checkpoint
    from classifier.model.keras import network

    pretrained = checkpoint.read_checkpoint(task.encoder)
    ours = network.Network(pretrained.shape, task.categories, seed=seed)
    ours.load(pretrained)
    model = network._build(pretrained.shape, task.categories, 0.1, "float32")  # noqa: SLF001
    model.set_weights(ours.snapshot())
    for layer in model.backbone.transformer_layers:
        layer._feedforward_intermediate_dense.activation = tf.nn.gelu  # noqa: SLF001
    return model


def trainer_f32(task: Task, seed: int) -> Trained:
    """Train with `Trainer` in float32."""
    return _trainer(task, seed, bf16=False)


def trainer_bf16(task: Task, seed: int) -> Trained:
    """Train with `Trainer` in bfloat16."""
    return _trainer(task, seed, bf16=True)


def _trainer(task: Task, seed: int, *, bf16: bool) -> Trained:
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        set_seed,
    )

    set_seed(seed)  # also for the weights of the new head
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
        settings = _trainer_settings(folder, task, seed, bf16)
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
        scores = trainer.predict(rows(task.test)).predictions
    return seconds, [int(category) for category in scores.argmax(axis=1)]


def _trainer_settings(folder: str, task: Task, seed: int, bf16: bool) -> Any:
    import torch
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=task.epochs,
        per_device_train_batch_size=task.batch,
        per_device_eval_batch_size=2 * task.batch,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="cosine",
        warmup_steps=WARMUP,
        weight_decay=WEIGHT_DECAY,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        seed=seed,
    )


CONTENDERS: dict[str, Callable[[Task, int], Trained]] = {
    "ours": ours,
    "ours_random_head": ours_random_head,
    "tutorial": tutorial,
    "hf_trainer_f32": trainer_f32,
    "hf_trainer_bf16": trainer_bf16,
}

"""Keep a training's word pieces in files that are mapped into memory.

    HOME/checkpoints/KEY/tokens/train.ids           four bytes per word piece
                                train.rows.npz      the end, the article and the weight of each chunk
                                validation.ids, validation.rows.npz
                                tokens.json         what the files were made from, and their hashes; written last

The folder is renamed to its final name once it is complete. A resumed training finds it by what it was made from, and
does not tokenize again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from classifier import atomic_files
from classifier.articles import AnnotatedArticle, TaskKind
from classifier.exceptions import SettingsError
from classifier.model.targets import Targets, encode_targets
from classifier.model.tokenization import Chunks, Tokenization
from classifier.model.word_pieces import PackedPieces
from classifier.training import data_snapshot
from classifier.training.spooled_articles import label_sets_of
from classifier.training.training_state import FORMAT, TokenizedArticles

log = logging.getLogger(__name__)

FOLDER = "tokens"
_DESCRIPTION = "tokens.json"

Parts = Mapping[str, Sequence[AnnotatedArticle]]
"""The articles to train on, "train", and those to validate on, "validation"."""


@dataclass(frozen=True, slots=True)
class TokenFiles:
    """The tokenized parts of a training, and the folder with their files."""

    folder: Path
    train: TokenizedArticles
    validation: TokenizedArticles

    def keep(self, directory: Path) -> None:
        """Move new files into the training's directory; their memory mappings remain valid."""
        if self.folder.name == FOLDER:  # they already belong to this training, or to another of the same articles
            return
        shutil.rmtree(directory / FOLDER, ignore_errors=True)
        atomic_files.publish(self.folder, directory / FOLDER)


@contextmanager
def open_token_files(
    root: Path, tokenization: Tokenization, parts: Parts, categories: Sequence[str], kind: TaskKind = "single"
) -> Iterator[TokenFiles]:
    """Yield the tokenized parts from the files of an earlier attempt below `root`, or else from new files.

    New files are deleted at the end unless they were kept.

    Raises:
        SettingsError: the disk is full, or the folder is not writable.
    """
    targets = {name: encode_targets(label_sets_of(articles), categories, kind) for name, articles in parts.items()}
    files = _find(root, tokenization, parts, targets) or _create(root, tokenization, parts, targets)
    try:
        yield files
    finally:
        if files.folder.name != FOLDER:
            shutil.rmtree(files.folder, ignore_errors=True)


def _find(root: Path, tokenization: Tokenization, parts: Parts, targets: Mapping[str, Targets]) -> TokenFiles | None:
    """Return the files of an earlier attempt; None if there are none, or they are damaged."""
    identity = _identity(tokenization, parts)
    for path in sorted(root.glob(f"*/{FOLDER}/{_DESCRIPTION}")):
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
            if description["identity"] != identity:
                continue
            files = _read(path.parent, tokenization, targets)
            if [part.sha256() for part in (files.train, files.validation)] == description["sha256"]:
                return files
            log.warning("%s: damaged; tokenizing the articles again", path.parent)
        except Exception as error:  # noqa: BLE001 - zipfile and NumPy raise many types for damaged files
            log.warning("%s: cannot read (%r); tokenizing the articles again", path.parent, error)
    return None


def _create(root: Path, tokenization: Tokenization, parts: Parts, targets: Mapping[str, Targets]) -> TokenFiles:
    """Tokenize the articles into new files."""
    folder: Path | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=".tokens-"))
        for name, articles in parts.items():
            _write_part(folder, name, tokenization.iter_chunks(tokenization.texts(articles)))
        files = _read(folder, tokenization, targets)
        description = {
            "identity": _identity(tokenization, parts),
            "sha256": [part.sha256() for part in (files.train, files.validation)],
        }
        (folder / _DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
    except BaseException as error:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise SettingsError(
                f"{root}: cannot write the articles' word pieces ({error.strerror}); make room, or set CLASSIFIER_HOME"
            ) from error
        raise
    return files


def _write_part(folder: Path, name: str, slices: Iterable[Chunks]) -> None:
    lengths, owners, weights = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    articles = 0
    with (folder / f"{name}.ids").open("wb") as file:
        for chunks in slices:
            file.write(chunks.pieces.ids.tobytes())
            lengths.append(chunks.pieces.lengths)
            owners.append(chunks.owners + articles)
            weights.append(chunks.weights)
            articles += int(chunks.owners[-1]) + 1
    np.savez(
        folder / f"{name}.rows.npz",
        ends=np.cumsum(np.concatenate(lengths)),
        owners=np.concatenate(owners),
        weights=np.concatenate(weights),
    )


def _read(folder: Path, tokenization: Tokenization, targets: Mapping[str, Targets]) -> TokenFiles:
    def part(name: str) -> TokenizedArticles:
        # NumPy does not close a damaged file that it opened itself
        with (folder / f"{name}.rows.npz").open("rb") as file, np.load(file, allow_pickle=False) as rows:
            ends, owners, weights = rows["ends"], rows["owners"], rows["weights"]
        ids = np.memmap(folder / f"{name}.ids", dtype=np.int32, mode="r", shape=(int(ends[-1]),))
        return TokenizedArticles(PackedPieces(ids, ends), targets[name], owners, tokenization.mask_id, weights)

    return TokenFiles(folder, part("train"), part("validation"))


def _identity(tokenization: Tokenization, parts: Parts) -> str:
    """Return a hash of everything that determines the word pieces, and of the categories."""
    description = {
        "format": FORMAT,
        "articles": {name: data_snapshot.sha256(articles) for name, articles in parts.items()},
        "tokenizer": hashlib.sha256(tokenization.tokenizer.to_str().encode()).hexdigest(),
        "max_length": tokenization.max_length,
        "read_title": tokenization.read_title,
        "chunking": asdict(tokenization.chunking) if tokenization.chunking else None,
        "version": version("tokenizers"),
    }
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()

"""A training's word pieces, in files that are mapped into memory.

    HOME/checkpoints/KEY/tokens/train.ids           four bytes a piece
                                train.rows.npz      where each chunk ends, whose it is, and how much it counts
                                validation.ids, validation.rows.npz
                                tokens.json         what they were made of, and their hashes; written last

The folder gets its name when it is complete. A training that goes on finds it by what it was made of, and does not
tokenise again.
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
from classifier.articles import AnnotatedArticle
from classifier.exceptions import SettingsError
from classifier.model.tokenization import Chunks, Tokenization
from classifier.model.word_pieces import PackedPieces
from classifier.training import data_snapshot
from classifier.training.spooled_articles import categories_of
from classifier.training.training_state import FORMAT, TokenizedArticles

log = logging.getLogger(__name__)

FOLDER = "tokens"
_DESCRIPTION = "tokens.json"

Parts = Mapping[str, Sequence[AnnotatedArticle]]
"""The articles to train on and to validate on: "train" and "validation"."""


@dataclass(frozen=True, slots=True)
class TokenFiles:
    """The parts of a training as the network gets to see them, and the folder that their word pieces lie in."""

    folder: Path
    train: TokenizedArticles
    validation: TokenizedArticles

    def keep(self, directory: Path) -> None:
        """Move new files into their training's folder; what is mapped into memory stays so."""
        if self.folder.name == FOLDER:  # this training's already, or another one's of the same articles
            return
        shutil.rmtree(directory / FOLDER, ignore_errors=True)
        atomic_files.publish(self.folder, directory / FOLDER)


@contextmanager
def opened(root: Path, tokenization: Tokenization, parts: Parts, categories: Sequence[str]) -> Iterator[TokenFiles]:
    """Yield the parts from a training's folder below `root`, or from a new one, removed at the end unless it was kept.

    Raises:
        SettingsError: the disk is full, or the folder cannot be written to.
    """
    found = _known(root, tokenization, parts, categories) or _made(root, tokenization, parts, categories)
    try:
        yield found
    finally:
        if found.folder.name != FOLDER:
            shutil.rmtree(found.folder, ignore_errors=True)


def _known(root: Path, tokenization: Tokenization, parts: Parts, categories: Sequence[str]) -> TokenFiles | None:
    """Return what another attempt has tokenised; None where there is nothing, or it is damaged."""
    identity = _identity(tokenization, parts)
    for path in sorted(root.glob(f"*/{FOLDER}/{_DESCRIPTION}")):
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
            if described["identity"] != identity:
                continue
            found = _read(path.parent, tokenization, parts, categories)
            if [part.sha256() for part in (found.train, found.validation)] == described["sha256"]:
                return found
            log.warning("%s: damaged; the articles are tokenised again", path.parent)
        except Exception as error:  # noqa: BLE001 - zipfile and NumPy raise many kinds for damaged files
            log.warning("%s: cannot read (%r); the articles are tokenised again", path.parent, error)
    return None


def _made(root: Path, tokenization: Tokenization, parts: Parts, categories: Sequence[str]) -> TokenFiles:
    folder: Path | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=".tokens-"))
        for name, articles in parts.items():
            _write_part(folder, name, tokenization.iter_chunks(article.text for article in articles))
        found = _read(folder, tokenization, parts, categories)
        described = {
            "identity": _identity(tokenization, parts),
            "sha256": [part.sha256() for part in (found.train, found.validation)],
        }
        (folder / _DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")
    except BaseException as error:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise SettingsError(
                f"{root}: cannot write the articles' word pieces ({error.strerror}); make room, or set CLASSIFIER_HOME"
            ) from error
        raise
    return found


def _write_part(folder: Path, name: str, slices: Iterable[Chunks]) -> None:
    lengths, owners, weights = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    articles = 0
    with (folder / f"{name}.ids").open("wb") as file:
        for some in slices:
            file.write(some.pieces.ids.tobytes())
            lengths.append(some.pieces.lengths)
            owners.append(some.owners + articles)
            weights.append(some.weights)
            articles += int(some.owners[-1]) + 1
    np.savez(
        folder / f"{name}.rows.npz",
        ends=np.cumsum(np.concatenate(lengths)),
        owners=np.concatenate(owners),
        weights=np.concatenate(weights),
    )


def _read(folder: Path, tokenization: Tokenization, parts: Parts, categories: Sequence[str]) -> TokenFiles:
    columns = {name: column for column, name in enumerate(categories)}

    def part(name: str) -> TokenizedArticles:
        # NumPy does not close a damaged file that it opened itself
        with (folder / f"{name}.rows.npz").open("rb") as file, np.load(file, allow_pickle=False) as rows:
            ends, owners, weights = rows["ends"], rows["owners"], rows["weights"]
        ids = np.memmap(folder / f"{name}.ids", dtype=np.int32, mode="r", shape=(int(ends[-1]),))
        targets = np.array([columns[category] for category in categories_of(parts[name])], dtype=np.int64)
        return TokenizedArticles(PackedPieces(ids, ends), targets, owners, tokenization.mask_id, weights)

    return TokenFiles(folder, part("train"), part("validation"))


def _identity(tokenization: Tokenization, parts: Parts) -> str:
    """Return a hash of all that decides the word pieces, and of the categories."""
    described = {
        "format": FORMAT,
        "articles": {name: data_snapshot.sha256(articles) for name, articles in parts.items()},
        "tokenizer": hashlib.sha256(tokenization.tokenizer.to_str().encode()).hexdigest(),
        "max_length": tokenization.max_length,
        "chunking": asdict(tokenization.chunking) if tokenization.chunking else None,
        "version": version("tokenizers"),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

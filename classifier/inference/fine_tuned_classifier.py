"""One model with its engines: what training, calibration, evaluation and labelling pass on to each other.

An engine takes seconds to build, and a labeller needs the tokenizer, the categories, the temperature and the ensemble
of the same model. So they stay together, and each engine is built once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from classifier.inference import engines
from classifier.inference.engines import Dtype, EngineName, InferenceEngine
from classifier.inference.labeller import Labeller
from classifier.model.ensemble import Ensemble
from classifier.model.fine_tuned import FineTunedModel


@dataclass(frozen=True, slots=True, eq=False)
class FineTunedClassifier:
    """A fine-tuned model and its engines, each of which is built at its first use and then kept.

    It keeps the weights in memory, for further engines. A caller that needs one labeller should keep only that.
    """

    model: FineTunedModel
    _engines: dict[tuple[EngineName, Dtype], InferenceEngine] = field(default_factory=dict, repr=False)

    def engine(self, name: EngineName = "auto", *, dtype: Dtype = "auto") -> InferenceEngine:
        """Return the engine of that name; "auto" is the fastest one on this machine.

        Raises:
            EncoderError: the weights do not fit the model's `config.json`.
        """
        if (name, dtype) not in self._engines:
            self._engines[name, dtype] = engines.choose_engine(self.model, engine=name, dtype=dtype)
        return self._engines[name, dtype]

    def labeller(self, engine: EngineName = "auto", *, dtype: Dtype = "auto", home: Path | None = None) -> Labeller:
        """Return a labeller on the engine of that name.

        `home` is the folder of the machine's measured batch sizes; if it is None, a common size is used.
        """
        return Labeller.of(self.model, self.engine(engine, dtype=dtype), home=home)

    def with_ensemble(self, ensemble: Ensemble | None) -> FineTunedClassifier:
        """Return the same network on the same engines, with another linear classifier or none."""
        return FineTunedClassifier(replace(self.model, ensemble=ensemble), self._engines)

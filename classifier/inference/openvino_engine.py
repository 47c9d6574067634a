"""A DistilBERT classifier as an OpenVINO graph, built from the checkpoint's tensors.

The graph is built from OpenVINO's own operations and not exported from a framework. So attention is one
`scaled_dot_product_attention` and GELU one node, for which OpenVINO has fused kernels: in bfloat16 they are much faster
than those of an exported graph.

The graph computes DistilBertForSequenceClassification (Sanh et al., 2019), with one saving: the head reads only the
first token, so in the last layer the other tokens serve as keys and values alone.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.articles import PaddingMask, Probabilities, TaskKind, TokenIds
from classifier.model import hardware
from classifier.model.checkpoint import Checkpoint

Dtype = Literal["f32", "bf16"]

_LAYER_NORM_EPSILON = 1e-12  # a constant of DistilBERT, not in its config.json
_MASKED = np.float32(-1e9)  # added to a score, gives a weight of 0 after softmax; finite in bfloat16 too


class OpenVinoEngine:
    """A DistilBERT classifier compiled for the CPU. Only one thread may use it at a time.

    Shapes are dynamic: all shapes share one set of packed weights, and OpenVINO caches the kernels of each shape.
    """

    name = "openvino"

    def __init__(
        self, checkpoint: Checkpoint, *, kind: TaskKind = "single", dtype: Dtype = "f32", threads: int | None = None
    ) -> None:
        import openvino

        compiled = openvino.Core().compile_model(
            build_graph(checkpoint, kind),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": dtype,
                "INFERENCE_NUM_THREADS": threads or hardware.available_cores(),
                # Each process would pin its threads to the same first cores, so two processes would share them.
                "ENABLE_CPU_PINNING": False,
            },
        )
        # A processor without bfloat16 falls back to f32, so the dtype is read back.
        used = compiled.get_property("INFERENCE_PRECISION_HINT")
        self.dtype = "bf16" if used == openvino.Type.bf16 else "f32"
        self.device = hardware.cpu_name()
        self.shape = checkpoint.shape
        self._request = compiled.create_infer_request()

    def probabilities(self, tokens: TokenIds, mask: PaddingMask) -> Probabilities:
        """Return each row's probabilities; `tokens` and `mask` are (articles, tokens)."""
        outputs = self._request.infer([tokens, mask], share_inputs=True)
        return np.asarray(outputs[0], dtype=np.float32)  # a copy already


def build_graph(checkpoint: Checkpoint, kind: TaskKind = "single") -> Any:
    """Build the graph from token ids and padding mask, both int32 (articles, tokens), to probabilities.

    The checkpoint must have a classification head. Its logits end in a softmax or, for a multi-label model, a sigmoid.
    """
    import openvino
    from openvino import opset15 as ops

    tokens = ops.parameter([-1, -1], np.int32, name="tokens")
    mask = ops.parameter([-1, -1], np.int32, name="mask")
    graph = _Graph(checkpoint, ops)
    x = graph.embed(tokens)
    key_bias = graph.mask_scores(mask)
    last = checkpoint.shape.n_layers - 1
    for index in range(checkpoint.shape.n_layers):
        x = graph.layer(x, key_bias, f"distilbert.transformer.layer.{index}", first_only=index == last)
    return openvino.Model([graph.head(x, kind)], [tokens, mask], "distilbert")


class _Graph:
    """The parts of the graph. Each method adds nodes and returns the last one."""

    def __init__(self, checkpoint: Checkpoint, ops: Any) -> None:
        self._shape = checkpoint.shape
        self._weights = checkpoint.weights
        self._ops = ops

    def embed(self, tokens: Any) -> Any:
        """Add word and position embeddings: (articles, tokens, dim)."""
        ops, prefix, axis = self._ops, "distilbert.embeddings", np.int32(0)
        length = ops.gather(ops.shape_of(tokens, "i32"), np.int32(1), axis)
        positions = ops.range(np.int32(0), length, np.int32(1), "i32")
        words = ops.gather(self._tensor(f"{prefix}.word_embeddings.weight"), tokens, axis)
        offsets = ops.gather(self._tensor(f"{prefix}.position_embeddings.weight"), positions, axis)
        return self._norm(ops.add(words, offsets), f"{prefix}.LayerNorm")

    def mask_scores(self, mask: Any) -> Any:
        """Return the number that is added to the scores of each key: (articles, 1, 1, tokens)."""
        ops = self._ops
        padding = ops.subtract(np.float32(1), ops.convert(ops.unsqueeze(mask, _ints(1, 2)), "f32"))
        return ops.multiply(padding, _MASKED)

    def layer(self, x: Any, key_bias: Any, prefix: str, *, first_only: bool) -> Any:
        """Apply one transformer layer; with `first_only`, the first token is the only query."""
        ops = self._ops
        queries = ops.slice(x, _ints(0), _ints(1), _ints(1), _ints(1)) if first_only else x
        parts = [
            self._heads(self._linear(source, f"{prefix}.attention.{part}"))
            for source, part in ((queries, "q_lin"), (x, "k_lin"), (x, "v_lin"))
        ]
        attended = ops.transpose(ops.scaled_dot_product_attention(*parts, key_bias), _ints(0, 2, 1, 3))
        attended = ops.reshape(attended, _ints(0, 0, self._shape.dim), special_zero=True)
        x = ops.add(self._linear(attended, f"{prefix}.attention.out_lin"), queries)
        x = self._norm(x, f"{prefix}.sa_layer_norm")
        wide = ops.gelu(self._linear(x, f"{prefix}.ffn.lin1"), "erf")
        return self._norm(ops.add(self._linear(wide, f"{prefix}.ffn.lin2"), x), f"{prefix}.output_layer_norm")

    def head(self, x: Any, kind: TaskKind) -> Any:
        """Compute probabilities, (articles, categories), from the first token, (articles, 1, dim)."""
        ops = self._ops
        pooled = ops.relu(self._linear(ops.squeeze(x, _ints(1)), "pre_classifier"))
        logits = self._linear(pooled, "classifier")
        return ops.sigmoid(logits) if kind == "multi" else ops.softmax(logits, -1)

    def _heads(self, x: Any) -> Any:
        heads, dim = self._shape.n_heads, self._shape.dim
        split = self._ops.reshape(x, _ints(0, 0, heads, dim // heads), special_zero=True)
        return self._ops.transpose(split, _ints(0, 2, 1, 3))

    def _linear(self, x: Any, name: str) -> Any:
        product = self._ops.matmul(x, self._tensor(f"{name}.weight"), transpose_a=False, transpose_b=True)
        return self._ops.add(product, self._tensor(f"{name}.bias"))

    def _norm(self, x: Any, name: str) -> Any:
        axes = self._ops.constant(_ints(-1))
        normal = self._ops.mvn(x, axes, normalize_variance=True, eps=_LAYER_NORM_EPSILON, eps_mode="inside_sqrt")
        scaled = self._ops.multiply(normal, self._tensor(f"{name}.weight"))
        return self._ops.add(scaled, self._tensor(f"{name}.bias"))

    def _tensor(self, name: str) -> Any:
        return self._ops.constant(self._weights[name])


def _ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)

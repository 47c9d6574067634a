"""What a task's pod needs besides what all pods have, where Airflow's KubernetesExecutor runs the tasks."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from classifier import settings

if TYPE_CHECKING:
    from kubernetes.client import models as k8s

    from classifier.settings import GpuPod

log = logging.getLogger(__name__)

MAIN_CONTAINER = "base"
"""The container of a pod in which the executor runs the task: what is given here has to have its name."""


def with_gpu() -> dict[str, Any] | None:
    """Return the `executor_config` of a task that needs a GPU; None unless `CLASSIFIER_GPU_POD` is set.

    Other executors ignore it. Without the Kubernetes client it is None, too, so that the DAG is parsed all the same.
    """
    wanted = settings.load().gpu_pod
    if wanted is None:
        return None
    if find_spec("kubernetes") is None:
        log.warning("CLASSIFIER_GPU_POD is set, but the extra `kubernetes` is not installed: no pod will have a GPU")
        return None
    return {"pod_override": _pod(wanted)}


def _pod(wanted: GpuPod) -> k8s.V1Pod:
    """Return the difference to the pod template.

    What is set here replaces what is set there, all resources together; volumes and variables are added up.
    """
    from kubernetes.client import models as k8s

    container = k8s.V1Container(
        name=MAIN_CONTAINER,
        image=wanted.image,
        resources=k8s.V1ResourceRequirements(
            requests=wanted.requests or None, limits={**wanted.limits, wanted.gpu: str(wanted.gpus)}
        ),
    )
    spec = k8s.V1PodSpec(
        containers=[container],
        node_selector=wanted.node_selector or None,
        tolerations=[k8s.V1Toleration(**one.model_dump()) for one in wanted.tolerations] or None,
    )
    return k8s.V1Pod(metadata=k8s.V1ObjectMeta(), spec=spec)

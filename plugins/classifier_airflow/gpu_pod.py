"""The pod of a task that needs a GPU, for Airflow's KubernetesExecutor."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from classifier_airflow import instances

if TYPE_CHECKING:
    from kubernetes.client import models as k8s

    from classifier.settings import GpuPod
    from classifier_airflow.instances import Instance

log = logging.getLogger(__name__)

MAIN_CONTAINER = "base"
"""Name of the container in which the executor runs the task; the container below must have this name."""


def with_gpu(instance: Instance | None = None) -> dict[str, Any] | None:
    """Return the `executor_config` of an instance's task that needs a GPU; None unless `CLASSIFIER_GPU_POD` is set.

    Other executors ignore it. If the Kubernetes client is not installed, the result is None too, so that Airflow can
    parse the DAG.
    """
    gpu_pod = (instance or instances.current()).settings.gpu_pod
    if gpu_pod is None:
        return None
    if find_spec("kubernetes") is None:
        log.warning("CLASSIFIER_GPU_POD is set, but the extra `kubernetes` is not installed: no pod will have a GPU")
        return None
    return {"pod_override": _pod(gpu_pod)}


def _pod(gpu_pod: GpuPod) -> k8s.V1Pod:
    """Return the difference to the pod template.

    Values here replace those of the template; the resources are replaced as a whole. Volumes and variables are merged.
    """
    from kubernetes.client import models as k8s

    container = k8s.V1Container(
        name=MAIN_CONTAINER,
        image=gpu_pod.image,
        resources=k8s.V1ResourceRequirements(
            requests=gpu_pod.requests or None, limits={**gpu_pod.limits, gpu_pod.gpu: str(gpu_pod.gpus)}
        ),
    )
    spec = k8s.V1PodSpec(
        containers=[container],
        node_selector=gpu_pod.node_selector or None,
        tolerations=[k8s.V1Toleration(**toleration.model_dump()) for toleration in gpu_pod.tolerations] or None,
    )
    return k8s.V1Pod(metadata=k8s.V1ObjectMeta(), spec=spec)

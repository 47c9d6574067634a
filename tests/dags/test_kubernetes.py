"""On Kubernetes the training's pod has a GPU and otherwise equals the others; the provider's own classes build it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib

import pytest
import yaml

from classifier.exceptions import SettingsError
from tests.support.paths import ROOT

pytestmark = pytest.mark.filterwarnings("default")

VALUES = yaml.safe_load((ROOT / "docs" / "kubernetes" / "values.yaml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
ENVIRONMENT = {variable["name"]: variable["value"] for variable in VALUES["env"]}
EVERYWHERE = {secret["envName"] for secret in VALUES["secret"]} | set(ENVIRONMENT)


@pytest.fixture
def pods(dagbag):
    """Return the plugin's module, which can be imported after Airflow has set its paths."""
    from classifier_airflow import gpu_pod

    return gpu_pod


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def template():
    """Return the pod template that the chart makes of the values."""
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    container = {
        "name": "base",
        "image": f"{VALUES['defaultAirflowRepository']}:{VALUES['defaultAirflowTag']}",
        "env": VALUES["env"],
        "resources": VALUES["workers"]["kubernetes"]["resources"],
        "volumeMounts": VALUES["volumeMounts"],
    }
    spec = {"containers": [container], "volumes": VALUES["volumes"], "restartPolicy": "Never"}
    return PodGenerator.deserialize_model_dict({"metadata": {"name": "template"}, "spec": spec})


def construct(template, override):
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    return PodGenerator.construct_pod(
        dag_id="retrain_classifier",
        task_id="train",
        pod_id="train-1",
        try_number=1,
        kube_image=template.spec.containers[0].image,
        date=None,
        args=["python", "-m", "the.task"],
        pod_override_object=override,
        base_worker_pod=template,
        namespace="airflow",
        scheduler_job_id="1",
        run_id="run",
    )


def test_the_training_pod_of_the_values_has_a_gpu_and_the_other_image(pods, template, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_GPU_POD", ENVIRONMENT["CLASSIFIER_GPU_POD"])
    pod = construct(template, pods.with_gpu()["pod_override"])
    (container,) = pod.spec.containers
    assert container.image == "REGISTRY/article-classifier:0.1.0-gpu"
    assert container.resources.limits == {"nvidia.com/gpu": "1", "memory": "32Gi"}
    assert container.resources.requests == {"cpu": "4", "memory": "8Gi"}
    assert pod.spec.node_selector == {"nvidia.com/gpu.present": "true"}
    (toleration,) = pod.spec.tolerations
    assert (toleration.key, toleration.operator, toleration.effect) == ("nvidia.com/gpu", "Exists", "NoSchedule")


def test_the_training_pod_runs_its_task_with_the_volumes_and_variables_of_all(pods, template, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_GPU_POD", "{}")
    pod = construct(template, pods.with_gpu()["pod_override"])
    (container,) = pod.spec.containers
    assert container.name == "base"
    assert container.args == ["python", "-m", "the.task"]
    assert container.image == template.spec.containers[0].image
    assert {mount.name for mount in container.volume_mounts} == {"models", "home", "inbox"}
    assert {volume.name for volume in pod.spec.volumes} == {"models", "home", "inbox"}
    assert set(ENVIRONMENT) <= {variable.name for variable in container.env}
    assert pod.metadata.labels["task_id"] == "train"
    assert container.resources.limits == {"nvidia.com/gpu": "1"}


def test_the_pod_survives_serialization_in_airflows_database(pods, monkeypatch):
    from airflow.serialization.serialized_objects import BaseSerialization

    monkeypatch.setenv("CLASSIFIER_GPU_POD", ENVIRONMENT["CLASSIFIER_GPU_POD"])
    config = pods.with_gpu()
    stored = json.loads(json.dumps(BaseSerialization.serialize(config)))
    assert BaseSerialization.deserialize(stored) == config


def test_without_the_setting_or_the_client_there_is_no_pod_and_the_dag_is_parsed(pods, monkeypatch, caplog):
    assert pods.with_gpu() is None
    monkeypatch.setenv("CLASSIFIER_GPU_POD", "{}")
    monkeypatch.setattr(pods, "find_spec", lambda _: None)
    assert pods.with_gpu() is None
    assert "`kubernetes` is not installed" in caplog.text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"nodeselektor": {}}', "CLASSIFIER_GPU_POD: nodeselektor: Extra inputs are not permitted"),
        ('{"tolerations": [{"effect": "no"}]}', "CLASSIFIER_GPU_POD: tolerations: 0: effect: Input should be"),
        ("one", "CLASSIFIER_GPU_POD: must be JSON"),
    ],
)
def test_a_mistake_in_the_setting_is_named(pods, monkeypatch, value, message):
    monkeypatch.setenv("CLASSIFIER_GPU_POD", value)
    with pytest.raises(SettingsError, match="^" + message):
        pods.with_gpu()


def test_the_task_that_trains_asks_for_the_pod_and_no_other_task_does(tmp_path):
    program = (
        "from airflow.dag_processing.dagbag import DagBag\n"
        f"bag = DagBag(dag_folder='{ROOT}/dags', bundle_name='dags-folder')\n"
        "assert not bag.import_errors, bag.import_errors\n"
        "found = [task.task_id for dag in bag.dags.values() for task in dag.tasks if task.executor_config]\n"
        "assert found == ['train'], found\n"
        "limits = bag.dags['retrain_classifier'].get_task('train').executor_config['pod_override']"
        ".spec.containers[0].resources.limits\n"
        "assert limits == {'nvidia.com/gpu': '1'}, limits"
    )
    environment = {**os.environ, "CLASSIFIER_GPU_POD": "{}", "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_values_equal_those_of_the_stack_on_one_machine():
    """Settings in both files are equal; the chart or Kubernetes sets those that are missing here."""
    shared = COMPOSE["x-airflow-environment"]
    for name, value in shared.items():
        if name.startswith(("CLASSIFIER_", "HF_", "TF_")) and name in ENVIRONMENT:
            default = value.split(":-")[1].rstrip("}") if ":-" in value else value
            assert ENVIRONMENT[name] == default, name
        if name.startswith(("AIRFLOW__WORKERS__", "AIRFLOW__SCHEDULER__TASK_")):
            section, option = name.removeprefix("AIRFLOW__").lower().split("__")
            assert str(VALUES["config"][section][option]) == value, name
    working = COMPOSE["x-pipeline-environment"]
    ours = {name for name in (*shared, *working) if name.startswith(("CLASSIFIER_", "HF_", "TF_", "AIRFLOW_CONN_"))}
    assert ours <= EVERYWHERE


def test_only_the_migration_job_gets_the_owners_password():
    job, init = VALUES["migrateDatabaseJob"], COMPOSE["services"]["init"]
    assert not job["applyCustomEnv"]
    variables = {variable["name"] for variable in job["env"]}
    passwords = {name for name in init["environment"] if name.endswith("_PASSWORD")}
    assert variables >= passwords | {"CLASSIFIER_DATABASE_URL"}
    assert "articles-owner" not in {secret["secretName"] for secret in VALUES["secret"]}


def test_the_values_name_the_images_of_this_version_and_no_secret():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert VALUES["defaultAirflowTag"] == f"{version}-cpu"
    assert f":{version}-gpu" in ENVIRONMENT["CLASSIFIER_GPU_POD"]
    assert VALUES["executor"] == "KubernetesExecutor"
    assert not any(word in name for name in ENVIRONMENT for word in ("PASSWORD", "KEY", "SECRET", "URL", "CONN"))


@pytest.mark.parametrize(
    ("component", "service"), [("dagProcessor", "dag-processor"), ("triggerer", "triggerer"), ("scheduler", None)]
)
def test_a_component_is_checked_by_what_the_image_has(component, service):
    """The chart's own checks and its removal of logs call scripts of Airflow's official image."""
    command = VALUES[component]["livenessProbe"]["command"]
    if service:
        assert command == COMPOSE["services"][service]["healthcheck"]["test"][1:]
    else:
        assert command == ["python", "/opt/airflow/health.py", "job", "SchedulerJob"]
        assert VALUES[component]["startupProbe"]["command"] == command
    assert VALUES[component]["logGroomerSidecar"] == {"enabled": False}

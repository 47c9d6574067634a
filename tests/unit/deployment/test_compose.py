"""The files of the production stack agree with each other. Docker is not needed."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from classifier.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES = yaml.safe_load(COMPOSE_TEXT)["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")
REQUIRED = re.compile(r"\$\{\w+:\?run docker/generate_env\.py first\}")
ONE_SHOT = {"init"}
WORKERS = {"cpu-worker", "gpu-worker"}


def variables(text):
    return {match["name"]: match for match in VARIABLE.finditer(text)}


def with_defaults(text):
    return VARIABLE.sub(lambda match: match["text"], text)


def assignments(path):
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def generate(output, *options):
    command = [sys.executable, ROOT / "docker/generate_env.py", "--output", output, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_stack_has_the_services_of_the_architecture():
    assert set(SERVICES) == {"postgres", "redis", "init", "api-server", "scheduler", "dag-processor", "triggerer"} | (
        WORKERS
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_and_restarts_or_runs_once(name):
    service = SERVICES[name]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
        assert "healthcheck" not in service
    else:
        assert service["restart"] == "always"
        assert set(service["healthcheck"]) == {"test", "interval", "timeout", "retries", "start_period"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT - {"postgres", "redis"}))
def test_airflow_waits_for_the_migrations_and_for_the_services_that_it_needs(name):
    conditions = {service: after["condition"] for service, after in SERVICES[name]["depends_on"].items()}
    expected = {
        "init": "service_completed_successfully",
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }
    if name in WORKERS:
        expected["api-server"] = "service_healthy"
    assert conditions == expected


def test_only_the_ui_is_published_and_only_on_loopback():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api-server": ["127.0.0.1:${AIRFLOW_PORT:-8080}:8080"]}


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_has_a_value_or_a_default_in_the_file(name):
    for key, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"(PASSWORD|SECRET|_KEY)$", key):
            assert REQUIRED.fullmatch(value), key
        for password in re.findall(r"://[^/]*?:(.*)@", value):
            assert REQUIRED.fullmatch(password), key


def test_no_command_line_has_a_secret():
    for service in SERVICES.values():
        assert not REQUIRED.search(str(service.get("command")))


def test_each_service_gets_only_the_database_passwords_that_it_needs():
    secrets = {"POSTGRES_PASSWORD", "ARTICLES_DB_PASSWORD", "PIPELINE_DB_PASSWORD", "ANALYST_DB_PASSWORD"}
    passwords = {name: secrets & set(variables(str(service.get("environment")))) for name, service in SERVICES.items()}
    working = {"api-server", "scheduler", "cpu-worker", "gpu-worker"}
    assert {name: names for name, names in passwords.items() if names} == {
        "postgres": {"POSTGRES_PASSWORD", "ARTICLES_DB_PASSWORD"},
        "init": {"ARTICLES_DB_PASSWORD", "PIPELINE_DB_PASSWORD", "ANALYST_DB_PASSWORD"},
        **{name: {"PIPELINE_DB_PASSWORD"} for name in working},
    }
    for name in working:
        environment = SERVICES[name]["environment"]
        for address in (environment["AIRFLOW_CONN_ARTICLES"], environment["CLASSIFIER_DATABASE_URL"]):
            assert "://articles_pipeline:" in address


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_the_projects_own_have_one_variable(name):
    image = SERVICES[name]["image"]
    if name in {"postgres", "redis"}:
        assert re.fullmatch(r"\w+:\d+\.\d+(\.\d+)?-bookworm", image)
    else:
        target = "gpu" if name == "gpu-worker" else "cpu"
        assert image == f"${{ARTICLE_CLASSIFIER_IMAGE:-article-classifier:{VERSION}}}-{target}"


def test_each_image_is_built_by_one_service_so_that_no_two_builds_write_one_tag():
    built = {name: service["build"]["target"] for name, service in SERVICES.items() if "build" in service}
    assert built == {"init": "cpu", "gpu-worker": "gpu"}
    for target in built.values():
        assert re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE, re.MULTILINE)


def test_only_the_profile_gpu_builds_and_starts_the_gpu_worker():
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "gpu-worker": ["gpu"]
    }
    assert assignments(ROOT / ".env.example")["COMPOSE_PROFILES"] == "gpu"


def test_a_private_checkout_is_readable_in_the_containers():
    """With umask 077 a checkout's files have mode 600, and the containers run as other users."""
    mounted = [volume for volume in SERVICES["postgres"]["volumes"] if volume.startswith("./")]
    assert mounted == ["./docker/databases.sql:/usr/local/share/classifier/databases.sql:ro"]
    assert "install -m 644 /usr/local/share/classifier/databases.sql /docker-entrypoint-initdb.d/" in str(
        SERVICES["postgres"]["command"]
    )
    copied = DOCKERFILE.rindex("/application/opt/airflow/")
    assert DOCKERFILE.index("&& chmod -R a+rX,go-w /application") > copied


def test_postgres_is_healthy_only_if_the_owner_of_the_articles_can_connect():
    check = SERVICES["postgres"]["healthcheck"]["test"][1]
    assert "psql" in check
    assert "--host 127.0.0.1 --username articles --dbname articles" in check
    assert '--command "SELECT 1"' in check


def test_a_service_has_time_to_end_its_work():
    grace = {name: service["stop_grace_period"] for name, service in SERVICES.items() if "stop_grace_period" in service}
    assert grace == {"postgres": "1m", "triggerer": "30s", "cpu-worker": "5m", "gpu-worker": "1h"}


def test_no_default_address_of_another_service_is_the_container_itself():
    for name in sorted(set(SERVICES) - {"postgres", "redis"}):
        for key, value in SERVICES[name]["environment"].items():
            outward = with_defaults(value) if VARIABLE.search(value) and "?" not in value else value
            assert key == "AIRFLOW__API__BASE_URL" or not re.search(r"localhost|127\.0\.0\.1", outward), key
        assert SERVICES[name]["extra_hosts"] == ["host.docker.internal:host-gateway"]


def test_the_images_run_as_an_ordinary_user_from_a_pinned_base():
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert stages[0].startswith("python:3.11.")
    final = [stage for stage in stages if re.match(r"\S+ AS (cpu|gpu)\n", stage)]
    assert len(final) == 2
    assert all("\nUSER airflow\n" in stage for stage in final)
    assert "--root /gpu torch" in next(stage for stage in stages if stage.startswith("dependencies AS gpu-"))
    assert [stage.split()[2] for stage in stages if "\nENV KERAS_BACKEND=torch\n" in stage] == ["gpu"]
    assert "://" not in DOCKERFILE  # no package registry's address


def test_a_change_of_the_code_touches_no_layer_of_dependencies():
    stages = {stage.split()[2]: stage for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]}
    for name in ("base", "dependencies", "gpu-dependencies", "runtime"):
        copied = re.findall(r"^COPY (?!--from)(.*) \S+$", stages[name], re.MULTILINE)
        assert copied in ([], ["docker/trim.sh"]), name
    for name in ("cpu", "gpu"):
        assert re.findall(r"^COPY (.*)$", stages[name], re.MULTILINE)[-1] == "--from=application /application /"


def test_the_images_name_their_version_and_hold_a_bill_of_materials():
    assert f"\nARG VERSION={VERSION}\n" in DOCKERFILE
    assert DOCKERFILE.count('org.opencontainers.image.version="$VERSION"') == 2
    assert "-o /opt/venv/sbom.cdx.json " in DOCKERFILE


@pytest.mark.parametrize("name", SERVICES)
def test_the_root_file_system_of_each_container_is_read_only(name):
    assert SERVICES[name]["read_only"] is True


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT - {"postgres", "redis"}))
def test_a_health_check_imports_neither_airflow_nor_celery(name):
    assert SERVICES[name]["healthcheck"]["test"][:3] == ["CMD", "python", "/opt/airflow/health.py"]
    imported = re.findall(r"^ *(?:import|from) ([\w.]+)", (ROOT / "docker/health.py").read_text(), re.MULTILINE)
    assert not {module.split(".")[0] for module in imported} & {"airflow", "celery", "classifier"}


def test_only_the_gpu_worker_reserves_the_gpu_and_serves_the_gpu_queue():
    devices = SERVICES["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert SERVICES["gpu-worker"]["command"] == "airflow celery worker -q gpu -c 1 --skip-serve-logs"
    assert [name for name, service in SERVICES.items() if "deploy" in service] == ["gpu-worker"]
    assert with_defaults(SERVICES["cpu-worker"]["command"]) == "airflow celery worker -q default -c 2 --skip-serve-logs"


def test_every_volume_is_declared():
    used = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service["volumes"]
        if re.match(r"\w+:", volume)
    }
    assert used == set(yaml.safe_load(COMPOSE_TEXT)["volumes"])


@pytest.mark.parametrize("name", ["statement_timeout_s", "page_timeout_s", "keep_models", "checkpoint_minutes"])
def test_a_setting_that_messages_say_to_change_reaches_the_stack_with_its_default(name):
    variable, default = f"CLASSIFIER_{name.upper()}", Settings.model_fields[name].default
    assert SERVICES["cpu-worker"]["environment"][variable] == f"${{{variable}:-{default}}}"
    assert assignments(ROOT / ".env.example")[variable] == str(default)
    assert f"| `{variable}` |" in (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")


def test_airflow_accepts_every_command(tmp_path):
    """Each command of the services, health checks and init script is parsed, and none is run."""
    lines = [service["command"] for service in SERVICES.values() if isinstance(service.get("command"), str)]
    lines += [
        shlex.join(service["healthcheck"]["test"][1:]) for service in SERVICES.values() if "healthcheck" in service
    ]
    lines += re.findall(r"airflow [a-z][^>|\n]*[^>|\n \d]", (ROOT / "docker/init.sh").read_text(encoding="utf-8"))
    commands = [words[1:] for line in lines if (words := shlex.split(with_defaults(line)))[0] == "airflow"]
    assert len(commands) == 6 + 3
    program = (
        "import json, sys; from airflow.cli.cli_parser import get_parser; parser = get_parser()\n"
        "for command in json.loads(sys.argv[1]): assert parser.parse_args(command).func"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_example_lists_every_variable_and_no_secret():
    example = assignments(ROOT / ".env.example")
    used = variables(COMPOSE_TEXT)
    assert set(example) == set(used) | {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}
    for name, match in used.items():
        assert example[name] == ("" if match["kind"] == "?" else match["text"])


def test_the_generated_file_gives_every_secret_a_value_of_its_own(tmp_path):
    done = generate(tmp_path / ".env")
    assert done.returncode == 0, done.stderr
    values = assignments(tmp_path / ".env")
    required = {name for name, match in variables(COMPOSE_TEXT).items() if match["kind"] == "?"}
    generated = [values[name] for name in required]
    assert required <= values.keys()
    assert all(values.values())
    assert len(set(generated)) == len(required)
    assert min(map(len, generated)) >= 44
    assert len(base64.urlsafe_b64decode(values["AIRFLOW_FERNET_KEY"])) == 32


def test_without_a_gpu_the_generated_file_has_no_gpu_worker_and_the_cpu_worker_trains(tmp_path):
    assert generate(tmp_path / ".env", "--no-gpu").returncode == 0
    values = assignments(tmp_path / ".env")
    assert values["COMPOSE_PROFILES"] == ""
    assert values["CPU_QUEUES"] == "default,gpu"
    assert len(values["REDIS_PASSWORD"]) == 64


def test_the_generated_file_is_private_and_its_secrets_are_not_printed(tmp_path):
    done = generate(tmp_path / ".env")
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert str(tmp_path / ".env") in done.stdout
    secrets = [value for value in assignments(tmp_path / ".env").values() if len(value) >= 44]
    assert secrets
    assert not any(secret in done.stdout + done.stderr for secret in secrets)


def test_an_existing_file_is_kept_unless_force_is_given(tmp_path):
    path = tmp_path / ".env"
    path.write_text("MINE=1\n", encoding="utf-8")
    path.chmod(0o644)
    refused = generate(path)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert path.read_text(encoding="utf-8") == "MINE=1\n"
    assert generate(path, "--force").returncode == 0
    first = assignments(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert generate(path, "--force").returncode == 0
    assert assignments(path)["AIRFLOW_DB_PASSWORD"] != first["AIRFLOW_DB_PASSWORD"]

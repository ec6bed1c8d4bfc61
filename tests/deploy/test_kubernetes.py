"""The manifests: valid, with the roles of compose, without rights, and with names that Prometheus finds."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import load_settings
from processors.commands.cli import COMMANDS

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "deploy" / "kubernetes" / "examples").glob("*.yaml"))
OBJECTS: list[Json] = [one for path in FILES for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
PODS = {one["metadata"]["name"]: one["spec"]["template"] for one in OBJECTS if one["kind"] in {"Deployment", "Job"}}
every_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())


def test_the_manifests_are_valid() -> None:
    """Against the schemas of Kubernetes, with no field that does not exist."""
    program = shutil.which("kubernetes-validate") or shutil.which(
        "kubernetes-validate", path=str(Path(sys.executable).parent)
    )
    if program is None:
        pytest.skip("kubernetes-validate is not installed (PyPI: kubernetes-validate)")
    done = subprocess.run([program, "--strict", *FILES, *EXAMPLES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_roles_are_those_of_compose() -> None:
    """All but the simulator."""
    compose: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    ours = {name for name, one in compose["services"].items() if one["image"] == "salespulse:local"}
    assert set(PODS) == ours - {"simulator"}


@every_pod
def test_pods_have_no_rights(pod: Json) -> None:
    """What the namespace demands of every pod, and no account of the cluster."""
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["spec"]["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@every_pod
def test_pods_run_a_command_that_exists_in_the_version_of_the_project(pod: Json) -> None:
    """And the user of the image."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    [container] = pod["spec"]["containers"]
    assert container["image"] == f"salespulse:{version}"
    assert container["args"][0] in COMMANDS
    user = pod["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@every_pod
def test_pods_have_limits_and_probes(pod: Json) -> None:
    """What ends by itself needs no probe."""
    [container] = pod["spec"]["containers"]
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    if pod["spec"].get("restartPolicy") != "OnFailure":
        assert "livenessProbe" in container
        names = {port["name"] for port in container["ports"]}
        probes = [container[key] for key in ("startupProbe", "livenessProbe", "readinessProbe") if key in container]
        assert {(probe.get("httpGet") or probe["tcpSocket"])["port"] for probe in probes} <= names


@every_pod
def test_volumes_are_declared_and_used(pod: Json) -> None:
    """Every mount has its volume and the other way round."""
    [container] = pod["spec"]["containers"]
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["spec"]["volumes"]}


def test_services_and_budgets_select_pods_that_exist() -> None:
    """By labels that the pods carry, to a port that the container names."""
    labelled = [pod["metadata"]["labels"] for pod in PODS.values()]
    for one in OBJECTS:
        if one["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = one["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            assert [labels for labels in labelled if selector.items() <= labels.items()], one["metadata"]["name"]


def test_prometheus_finds_the_headless_services() -> None:
    """By the names and ports that its configuration looks up."""
    text = (ROOT / "config" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    looked_up = dict(re.findall(r"names: \[(board|worker|notifier)\], type: A, port: (\d+)", text))
    headless = {
        one["metadata"]["name"]: str(one["spec"]["ports"][0]["port"])
        for one in OBJECTS
        if one["kind"] == "Service" and one["spec"].get("clusterIP") == "None"
    }
    assert headless == looked_up


@pytest.mark.parametrize("path", [*FILES, *EXAMPLES], ids=lambda path: path.stem)
def test_the_settings_are_known_to_the_program(path: Path, tmp_path: Path) -> None:
    """With files in the places that are mounted, and nothing for whoever does not say who he is."""
    objects = [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one["kind"] == "ConfigMap"]
    mounted = {one["mountPath"] for pod in PODS.values() for one in pod["spec"]["containers"][0]["volumeMounts"]}
    for config in objects:
        values: dict[str, str] = config["data"]
        files = {name: Path(value) for name, value in values.items() if value.startswith("/")}
        assert {str(place.parent) for place in files.values()} <= mounted
        for name in files:
            (tmp_path / name).write_text(f"ann write {'x' * 32}" if "TOKENS" in name else "x", encoding="utf-8")
            (tmp_path / name).chmod(0o440)
        settings = load_settings(None, values | {name: str(tmp_path / name) for name in files})
        assert settings.kafka.replication_factor == 3
        assert settings.board.anonymous == "nothing"


def test_network_policies_select_pods_and_ports_that_exist() -> None:
    """And refuse all that they do not name."""
    policies = [one for one in OBJECTS if one["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in [one["spec"] for one in policies]
    labelled = [pod["metadata"]["labels"] for pod in PODS.values()]
    ports = {port["name"] for pod in PODS.values() for port in pod["spec"]["containers"][0].get("ports", [])}
    for one in policies:
        selector = one["spec"]["podSelector"].get("matchLabels", {})
        assert [labels for labels in labelled if selector.items() <= labels.items()], one["metadata"]["name"]
        named = {port["port"] for rule in one["spec"].get("ingress", []) for port in rule["ports"]}
        assert named <= ports


def test_the_board_is_probed_at_paths_that_it_answers() -> None:
    """Here and in compose."""
    health = (ROOT / "processors" / "board" / "api" / "health.py").read_text(encoding="utf-8")
    [container] = PODS["board"]["spec"]["containers"]
    paths = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
    assert paths == set(re.findall(r"`(/\w+)`", health.splitlines()[0]))
    compose: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert ":8080/healthz" in compose["services"]["board"]["healthcheck"]["test"][-1]


def test_everything_lives_in_the_namespace() -> None:
    """Nothing is scattered."""
    for one in OBJECTS:
        place = one["metadata"]["name"] if one["kind"] == "Namespace" else one["metadata"]["namespace"]
        assert place == "salespulse", one["kind"]

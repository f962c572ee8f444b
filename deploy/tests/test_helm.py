"""The chart: linted, rendered, checked against the schemas of Kubernetes, and its hub started as the pod would start it."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support import DEPLOY, REPOSITORY, hub, program, status

CHART = DEPLOY / "helm/tidings"
SECRET = "0123456789abcdef0123456789abcdef"

ONE = {"image": {"repository": "registry.example/tidings"}, "auth": {"existingSecret": "keys"}}
SEVERAL = {
    **ONE,
    "replicas": 3,
    "log": {"url": "nats://nats.nats.svc:4222/EVENTS?replicas=3"},
    "auth": {
        "jwksUrl": "https://login.example/keys",
        "audience": "a",
        "issuer": "i",
        "anonymous": {"subscribe": ["news/**", "a/*"]},
    },
    "settings": {"max-topics": 1_000_000, "trusted-proxies": "10.0.0.0/8", "auth-anonymous-metrics": True},
    "config": "[relay.models]\nurl = 'https://api.example'\n",
    "tls": {"existingSecret": "certificate"},
    "ingress": {"enabled": True, "className": "nginx", "host": "hub.example", "tlsSecret": "certificate"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "tokenSecret": "scrape"},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"team": "web"}}}],
        "egress": [{"ports": [{"port": 4222, "protocol": "TCP"}]}],
    },
    "podLabels": {"team": "push"},
    "podAnnotations": {"a": "b"},
    "service": {"annotations": {"a": "b"}},
    "serviceAccount": {"annotations": {"a": "b"}},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}
PASSWORD = {**ONE, "log": {"existingSecret": "engine"}, "replicas": 2, "fullnameOverride": "push"}


def helm(*arguments: str, values: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    home = {"HELM_CACHE_HOME": str(folder), "HELM_CONFIG_HOME": str(folder), "HELM_DATA_HOME": str(folder)}
    command = [os.environ["HELM"], *arguments, "--values", str(file)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **home})


def render(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The objects, by kind."""
    done = helm("template", "push", str(CHART), "--namespace", "web", values=values, folder=folder)
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    kinds = {one["kind"]: one for one in objects}
    assert len(kinds) == len(objects)
    return kinds


@pytest.mark.parametrize("values", [ONE, SEVERAL, PASSWORD], ids=["one", "several", "password"])
def test_it_is_linted(values: dict[str, Any], tmp_path: Path) -> None:
    done = helm("lint", "--strict", str(CHART), values=values, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", [ONE, SEVERAL, PASSWORD], ids=["one", "several", "password"])
def test_what_it_renders_is_what_kubernetes_takes(values: dict[str, Any], tmp_path: Path) -> None:
    for kind, one in render(values, tmp_path).items():
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "push"
        # This kind is the Prometheus operator's own.
        if kind == "ServiceMonitor":
            continue
        for version in ("1.30", "1.37"):
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "image.repository is not set"),
        ({"image": {"repository": "x"}}, "nobody may use the hub"),
        ({**ONE, "replicas": 2}, "a log on disk belongs to one hub"),
        ({**ONE, "replica": 2}, "replica"),
        ({**ONE, "log": {"url": "kafka://x"}}, "log"),
        ({**ONE, "settings": {"listen": "0.0.0.0:1"}}, "'listen'"),
    ],
)
def test_what_would_not_run_is_refused_with_a_reason(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    done = helm("template", "push", str(CHART), values=values, folder=tmp_path)
    assert done.returncode != 0
    assert said in done.stderr, done.stderr


def pod(kinds: dict[str, Any]) -> Any:
    return (kinds.get("StatefulSet") or kinds["Deployment"])["spec"]["template"]


@pytest.mark.parametrize("values", [ONE, SEVERAL, PASSWORD], ids=["one", "several", "password"])
def test_the_pod_may_do_little(values: dict[str, Any], tmp_path: Path) -> None:
    spec = pod(render(values, tmp_path))["spec"]
    assert spec["automountServiceAccountToken"] is False
    # TIDINGS_PORT and its like, which Kubernetes would set, are no settings.
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532 == spec["securityContext"]["fsGroup"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_one_hub_keeps_its_log_on_a_volume_that_stays(tmp_path: Path) -> None:
    kinds = render(ONE, tmp_path)
    spec = kinds["StatefulSet"]["spec"]
    [claim] = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "10Gi"}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    [mount] = [mount for mount in pod(kinds)["spec"]["containers"][0]["volumeMounts"] if mount["name"] == "log"]
    assert environment(kinds)["TIDINGS_LOG"].startswith(f"disk:{mount['mountPath']}")
    # A budget of one that may be away lets a node be drained.
    assert kinds["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_several_hubs_are_replaced_one_by_one(tmp_path: Path) -> None:
    kinds = render(SEVERAL, tmp_path)
    assert kinds["Deployment"]["spec"]["replicas"] == 3
    assert kinds["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert not any(volume["name"] == "log" for volume in pod(kinds)["spec"]["volumes"])
    [endpoint] = kinds["ServiceMonitor"]["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["scheme"]) == ("http", "/metrics", "https")
    assert endpoint["authorization"]["credentials"] == {"name": "scrape", "key": "token"}
    assert kinds["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "Egress" not in render(ONE, tmp_path)["NetworkPolicy"]["spec"]["policyTypes"]


@pytest.mark.parametrize("values", [ONE, SEVERAL, PASSWORD], ids=["one", "several", "password"])
def test_selectors_select_the_pod(values: dict[str, Any], tmp_path: Path) -> None:
    kinds = render(values, tmp_path)
    labels = pod(kinds)["metadata"]["labels"].items()
    hubs = kinds.get("StatefulSet") or kinds["Deployment"]
    selectors = [hubs["spec"]["selector"]["matchLabels"], kinds["Service"]["spec"]["selector"]]
    selectors.append(kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"])
    selectors.append(kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"])
    for selector in selectors:
        assert selector
        assert selector.items() <= labels


def environment(kinds: dict[str, Any]) -> dict[str, str]:
    [container] = pod(kinds)["spec"]["containers"]
    return {one["name"]: one.get("value", SECRET) for one in container["env"]}


def seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    assert found
    return int(found[1]) * (60 if found[2] == "m" else 1)


def test_the_hub_starts_as_the_pod_starts_it_and_drains_in_time(tmp_path: Path) -> None:
    kinds = render(ONE, tmp_path)
    spec = pod(kinds)["spec"]
    [container] = spec["containers"]
    # The root is read-only and empty here too: what it may write to is the volume.
    given = environment(kinds) | {"TIDINGS_LISTEN": "0.0.0.0:0"}
    given["TIDINGS_LOG"] = given["TIDINGS_LOG"].replace("/var/lib/tidings", str(tmp_path))
    with hub(container["args"], given, tmp_path) as (url, _):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert status(url + container[probe]["httpGet"]["path"]) == 200
        assert status(f"{url}/topics/a") == 401
        token = subprocess.run(
            [program(), "token", "--subscribe", "**"], env={"TIDINGS_AUTH_HS256_SECRET": SECRET}, capture_output=True, text=True
        ).stdout.strip()
        assert status(f"{url}/topics/a", token) == 200
    wait = container["lifecycle"]["preStop"]["sleep"]["seconds"] + seconds(given["TIDINGS_DRAIN_TIMEOUT"])
    assert wait < spec["terminationGracePeriodSeconds"]


def test_every_setting_is_one_that_the_hub_has(tmp_path: Path) -> None:
    names = set(environment(render(SEVERAL, tmp_path))) | set(environment(render(ONE, tmp_path)))
    text = subprocess.run([program(), "serve", "--help"], capture_output=True, text=True).stdout
    assert names <= set(re.findall(r"TIDINGS_[A-Z0-9_]+", text)), names
    assert environment(render(SEVERAL, tmp_path))["TIDINGS_MAX_TOPICS"] == "1000000"
    assert environment(render(SEVERAL, tmp_path))["TIDINGS_AUTH_ANONYMOUS_SUBSCRIBE"] == "news/**,a/*"


def test_its_settings_in_toml_are_taken(tmp_path: Path) -> None:
    kinds = render({**ONE, "config": SEVERAL["config"], "settings": {"max-topics": 1_000_000}}, tmp_path)
    file = tmp_path / "tidings.toml"
    file.write_text(kinds["ConfigMap"]["data"]["tidings.toml"])
    given = environment(kinds) | {"TIDINGS_LISTEN": "127.0.0.1:0", "TIDINGS_LOG": f"disk:{tmp_path}/log"}
    [mount] = [one for one in pod(kinds)["spec"]["containers"][0]["volumeMounts"] if one["name"] == "config"]
    assert given["TIDINGS_CONFIG"] == f"{mount['mountPath']}/tidings.toml"
    with hub(["serve"], given | {"TIDINGS_CONFIG": str(file)}, tmp_path) as (url, _):
        # The relay is there, and wants a token.
        assert status(f"{url}/relay/models/v1") == 401


PAGE = (REPOSITORY / "docs/guides/kubernetes.md").read_text()


def test_the_values_of_the_documentation_are_values(tmp_path: Path) -> None:
    [text] = re.findall(r"^```yaml values\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    kinds = render(yaml.safe_load(text), tmp_path)
    assert kinds["Deployment"]["spec"]["replicas"] == 3
    assert {"Ingress", "ServiceMonitor"} <= kinds.keys()


def test_the_command_of_the_documentation_is_enough(tmp_path: Path) -> None:
    [line] = re.findall(r"^helm install (.*)$", PAGE, re.MULTILINE)
    name, chart, *flags = shlex.split(line)
    done = helm("template", name, str(REPOSITORY / chart), *flags, values={}, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    # What it says of the secret is what the pod asks for.
    [secret] = re.findall(r"^kubectl create secret generic (\S+) --from-literal=(\w+)=", PAGE, re.MULTILINE)
    assert "secretKeyRef: {{ name: {}, key: {} }}".format(*secret) in done.stdout

"""What Kubernetes takes: its own kinds by its published schemas, and those of operators by theirs."""

import json
import subprocess
import tomllib
from pathlib import Path

import kubernetes_validate

import image

OPERATORS = ["monitoring.coreos.com", "external-secrets.io"]
DEFAULTS = tomllib.loads((image.ROOT / "config/default.toml").read_text())

# Every setting as a variable of the environment.
VARIABLES = {f"MCP__{section}__{key}".upper() for section, keys in DEFAULTS.items() for key in keys}


def check(objects: list[dict]) -> None:
    """Raises where an object does not fit its kind, or has a field that its kind does not know."""
    custom = [each for each in objects if each["apiVersion"].split("/")[0] in OPERATORS]
    for each in objects:
        if each not in custom:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    program = Path(__file__).with_name("custom.mjs")
    done = subprocess.run(["node", program], input=json.dumps(custom), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def of_kind(objects: list[dict], kind: str, end: str = "") -> list[dict]:
    return [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(end)]


def check_whole(objects: list[dict]) -> None:
    """Raises where the parts of one installation, with its Redis, do not fit together."""
    (deployment,) = of_kind(objects, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": DEFAULTS["server"]["port"], "admin": DEFAULTS["admin"]["port"]}, ports
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        assert container[probe]["httpGet"]["port"] == "admin", probe
    user = dict(image.read(image.ROOT / "Dockerfile")[""].steps)["USER"].split(":")
    assert user == [str(pod["securityContext"][key]) for key in ["runAsUser", "runAsGroup"]], user

    # A Secret that were among the objects would be emptied with each installation. There need not be one.
    assert not of_kind(objects, "Secret")
    first, last = container["envFrom"]
    assert last["secretRef"]["optional"] is True, last
    (settings,) = [each for each in objects if each["metadata"]["name"] == first["configMapRef"]["name"] and "data" in each]
    settings = settings["data"]
    assert set(settings) <= VARIABLES, set(settings) - VARIABLES
    assert settings["MCP__ADMIN__HOST"] == "0.0.0.0", "or no probe gets there"
    assert settings["MCP__SERVER__PROXIES"] == "1", "or one client locks out all that come by the Ingress"

    # The server must have its time to finish before it is killed.
    patience = int(settings["MCP__SERVER__SHUTDOWN_S"]) + container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > patience

    redis = [each for each in objects if each["kind"] == "StatefulSet"]
    for kind in ["Service", "PodDisruptionBudget", "NetworkPolicy"]:
        for other in of_kind(objects, kind):
            selector = other["spec"].get("selector") or other["spec"].get("podSelector")
            selector = selector.get("matchLabels", selector)
            pods = [labels, *(each["spec"]["template"]["metadata"]["labels"] for each in redis)]
            chosen = [each for each in pods if selector.items() <= each.items()]
            assert len(chosen) == 1, (kind, selector, "chooses the pods of one kind")
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        # One that can't be had keeps the number of pods from going down.
        assert [metric["type"] for metric in scaler["spec"]["metrics"]] == ["Resource"]
    check_redis(objects, settings["MCP__STORE__URL"], labels)
    check_admin_policy(objects, labels)


def check_redis(objects: list[dict], url: str, servers: dict) -> None:
    """Raises unless the address leads to the installation's Redis, which servers alone reach, and which refuses before it is killed."""
    (redis,) = of_kind(objects, "StatefulSet")
    labels = redis["spec"]["template"]["metadata"]["labels"]
    (container,) = redis["spec"]["template"]["spec"]["containers"]
    (service,) = of_kind(objects, "Service", redis["spec"]["serviceName"])
    assert service["spec"]["selector"].items() <= labels.items()
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    (port,) = service["spec"]["ports"]
    assert named[port["targetPort"]] == port["port"]
    assert url == f"redis://{service['metadata']['name']}:{port['port']}", url
    (policy,) = [each for each in of_kind(objects, "NetworkPolicy") if selects(each, labels)]
    ((allowed,),) = [rule["from"] for rule in policy["spec"]["ingress"]]
    assert allowed["podSelector"]["matchLabels"].items() <= servers.items()
    options = dict(zip(container["args"][1::2], container["args"][2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction", options
    limit = container["resources"]["limits"]["memory"]
    mebibytes = {"Gi": 1024, "Mi": 1}[limit[-2:]] * int(limit[:-2])
    # While it rewrites its file it may need each page twice.
    assert 2 * int(options["--maxmemory"].removesuffix("mb")) <= mebibytes, (options, limit)


def check_admin_policy(objects: list[dict], servers: dict) -> None:
    """Raises unless Prometheus alone reaches the admin port, and all reach that for clients."""
    (policy,) = [each for each in of_kind(objects, "NetworkPolicy") if selects(each, servers)]
    open_to = {port["port"]: rule.get("from") for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert set(open_to) == {"http", "admin"}
    assert open_to["http"] is None
    ((source,),) = [open_to["admin"]]
    assert list(source) == ["namespaceSelector"], source


def selects(policy: dict, labels: dict) -> bool:
    return policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()

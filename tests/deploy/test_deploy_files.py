"""What an administrator installs is sound: by the tools that will read it, and against what the program does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dosremc_node.configuration import load

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def tool(name: str, package: str) -> str:
    """A program that Debian has."""
    return shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin") or pytest.skip(
        f"{name} is not installed (Debian package {package})"
    )


def run(*command: str, folder: Path = DEPLOY) -> str:
    """What it says; it must not fail."""
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def read_yaml(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


@pytest.mark.parametrize("unit", sorted(path.name for path in (DEPLOY / "systemd").iterdir()))
def test_systemd_understands_its_units(unit: str, tmp_path: Path) -> None:
    """No unknown directive, no wrong value, no missing dependency."""
    program = tool("systemd-analyze", "systemd")
    for path in (DEPLOY / "systemd").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/dosremc/venv/bin/dosremc-node", "/bin/true"))
    assert run(program, "verify", "--man=no", str(tmp_path / unit)) == ""


@pytest.mark.parametrize("unit", ["dosremc-node.service", "dosremc-backup.service"])
def test_services_are_hardened(unit: str) -> None:
    """Systemd's own measure of exposure, of ten: below two."""
    program = tool("systemd-analyze", "systemd")
    run(program, "security", "--offline=true", "--threshold=20", "--no-pager", str(DEPLOY / "systemd" / unit))


def test_prometheus_understands_its_rules_and_they_do_what_they_say() -> None:
    """Checked and tested by promtool."""
    promtool = tool("promtool", "prometheus")
    folder = DEPLOY / "monitoring"
    run(promtool, "check", "config", "prometheus.yml", folder=folder)
    run(promtool, "check", "rules", "--lint-fatal", "alerts.yml", folder=folder)
    run(promtool, "test", "rules", "alerts.test.yml", folder=folder)


def test_rules_and_dashboard_speak_of_metrics_that_there_are() -> None:
    """A renamed metric would leave an alert that never fires."""
    source = "".join(path.read_text() for path in (ROOT / "dosremc_node" / "monitoring").glob("*.py"))
    known = set(re.findall(r'"(dosremc_\w+)"', source))
    dashboard = json.loads((DEPLOY / "container/grafana/dashboards/dosremc.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for group in read_yaml("monitoring/alerts.yml")["groups"] for rule in group["rules"]]
    used = {name for each in expressions for name in re.findall(r"\bdosremc_\w+", each)}
    assert used
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in used} <= known


def test_panels_do_not_overlap() -> None:
    """Each place of the dashboard's grid of 24 columns is taken once."""
    dashboard = json.loads((DEPLOY / "container/grafana/dashboards/dosremc.json").read_text())
    places = [
        (x, y)
        for panel in dashboard["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


def test_the_compose_file_fits_together() -> None:
    """Every mounted file is there, every volume declared, every reference to a service one; nothing is published beyond this machine."""
    compose = read_yaml("container/compose.yaml")
    for service in compose["services"].values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (DEPLOY / "container" / source).exists() if source.startswith(".") else source in compose["volumes"], mount
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        assert "privileged" not in service
    (target,) = read_yaml("monitoring/prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target.split(":")[0] in compose["services"]


def test_the_settings_of_the_container_are_settings_of_the_node() -> None:
    """The file is read as the node reads it; its peers and its destination are services of the compose file."""
    settings = load(DEPLOY / "container/node.toml", [])
    services = read_yaml("container/compose.yaml")["services"]
    assert {settings.destination("pacs").host, *(peer.host for peer in settings.reception.peers)} <= set(services)


def test_the_container_file_copies_what_there_is_and_runs_without_rights() -> None:
    """Sources exist, the last user is not root, the program is started without a shell, so that signals reach it."""
    lines = (DEPLOY / "container/Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    for name, rest in steps:
        if name == "COPY" and not rest.startswith("--from"):
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
    assert [rest for name, rest in steps if name == "USER"][-1].split(":")[0] not in {"root", "0"}
    assert all(rest.startswith("[") for name, rest in steps if name in {"ENTRYPOINT", "CMD"})
    assert all(":" in rest and ":latest" not in rest for name, rest in steps if name == "FROM")


def test_the_container_may_write_to_every_volume_that_it_is_given() -> None:
    """A new volume belongs to root, unless the image has its folder: then it takes that one's owner."""
    made = (DEPLOY / "container/Dockerfile").read_text()
    mounts = [mount.split(":") for mount in read_yaml("container/compose.yaml")["services"]["node"]["volumes"]]
    for folder in (parts[1] for parts in mounts if parts[-1] != "ro"):
        assert re.search(rf"(--owner=dosremc|--home-dir)\b.* {folder}(?![\w-])", made), folder


def test_logrotate_understands_its_file(tmp_path: Path) -> None:
    """Every directive; and a file that was moved away is written anew."""
    program = tool("logrotate", "logrotate")
    (tmp_path / "audit.xml").write_text("<AuditMessage/>\n")
    text = (DEPLOY / "logrotate.conf").read_text().replace("/var/log/dosremc/", f"{tmp_path}/")
    here = re.sub(r"^ *su .*\n", "", text, flags=re.MULTILINE).replace("create 0640 dosremc dosremc", "create 0640")
    (tmp_path / "conf").write_text(here)
    tmp_path.chmod(0o755)
    said = run(program, "--force", "--state", str(tmp_path / "state"), str(tmp_path / "conf"))
    assert "error" not in said
    assert len(list(tmp_path.glob("audit.xml*"))) == 2


def test_the_firewall_rules_are_rules() -> None:
    """Checked by nft, which changes nothing."""
    program = tool("nft", "nftables")
    checked = subprocess.run([program, "-c", "-f", str(DEPLOY / "firewall.nft")], capture_output=True, text=True, check=False)
    if "Operation not permitted" in checked.stderr or "netlink" in checked.stderr.lower():
        pytest.skip("nft may not ask the kernel here")
    assert checked.returncode == 0, checked.stderr


def test_scripts_are_clean() -> None:
    """By shellcheck."""
    run(tool("shellcheck", "shellcheck"), "bootstrap.sh")

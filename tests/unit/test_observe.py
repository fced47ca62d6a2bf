"""What Prometheus and Grafana are told to look at is there."""

import json
import re
from pathlib import Path

import yaml

from victim_service.metrics import Metrics
from victim_service.usage import account_page
from victim_service.watch import Watch

ROOT = Path(__file__).parents[2]
OBSERVE = ROOT / "docker" / "observe"


def exported() -> set[str]:
    """Names of all series that a victim exports."""
    names: set[str] = set()
    for family in Metrics().registry.collect():
        ends = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}
        names |= {family.name + end for end in ends[family.type]}
    page = account_page([], Watch(), 2).decode()
    return names | set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))


def test_every_series_of_the_dashboard_is_exported() -> None:
    board = json.loads((OBSERVE / "grafana" / "earshot.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"victim_\w+", target["expr"])
    }
    assert len(asked) >= 8
    assert asked <= exported()
    titles = " ".join(panel["title"] for panel in board["panels"]).lower()
    for wanted in ("spend", "leakage", "refusals", "latency"):
        assert wanted in titles


def test_panels_do_not_lie_over_one_another() -> None:
    board = json.loads((OBSERVE / "grafana" / "earshot.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_sources_and_scrapes_name_what_the_compose_file_has() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    jobs = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())["scrape_configs"]
    names = {n for job in jobs for found in job["dns_sd_configs"] for n in found["names"]}
    assert names <= set(compose["services"])
    (source,) = yaml.safe_load((OBSERVE / "grafana" / "datasources.yml").read_text())["datasources"]
    board = json.loads((OBSERVE / "grafana" / "earshot.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


def test_nothing_in_the_compose_file_is_published_beyond_loopback_or_keeps_its_rights() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        if name != "grafana":  # it writes into its own folders
            assert service["read_only"] is True, name
        if "profiles" not in service:
            assert "deploy" not in service, f"{name}: the default never asks for a GPU"

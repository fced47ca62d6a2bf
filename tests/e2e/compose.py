"""One stack of containers of a name of its own, and what is asked of it."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
README_COMMANDS = {
    "docker compose up --build": ("up", "--build", "-d"),
    "docker compose down -v": ("down", "-v"),
    "EARSHOT_URL=http://door:8765 docker compose --profile scale up --scale replica=2": (
        *("--profile", "scale", "up", "--scale", "replica=2", "-d"),
    ),
    "docker compose --profile observe up": ("--profile", "observe", "config", "-q"),
    "docker compose --profile gpu up victim-gpu attacker-gpu lab-gpu": (
        *("--profile", "gpu", "config", "-q"),
    ),
    "docker compose --profile study up study": ("--profile", "study", "up", "-d", "study"),
}
"""The page's commands, and the words under which they are tried: in the background, and without
pulling images that only two profiles need."""
_LOOK = """
import importlib.util as u, json, os, socket, sys
reached = []
for place in sys.argv[1:]:
    host, port = place.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 2).close()
        reached.append(place)
    except OSError:
        pass
try:
    open("/app/x", "w").close()
    writable = True
except OSError:
    writable = False
status = dict(l.split(":", 1) for l in open("/proc/self/status") if ":" in l)
print(json.dumps({
    "reached": reached,
    "folders": {f: os.path.exists(f) for f in ("/data", "/lab", "/corpus", "/app/victim_service")},
    "importable": {m: u.find_spec(m) is not None for m in ("victim_service", "attacker")},
    "user": os.getuid(), "writable_root": writable,
    "capabilities": status["CapEff"].strip(), "proxy": os.listdir("/proxy"),
}))
"""
_CROWD = """
import collections, io, json, sys, threading
import httpx, numpy as np
url, key, clients, each = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
body = io.BytesIO(); np.save(body, np.zeros((1, 4096), np.int16))
headers = {"authorization": "Bearer " + key, "content-type": "application/x-npy"}
seen = collections.Counter()
def client():
    with httpx.Client(headers=headers, timeout=60) as http:
        for _ in range(each):
            seen[str(http.post(url + "/v1/classify", content=body.getvalue()).status_code)] += 1
threads = [threading.Thread(target=client) for _ in range(clients)]
[t.start() for t in threads]; [t.join() for t in threads]
print(json.dumps(seen))
"""


def missing_engine() -> str:
    """Return why there can be no containers here; empty where there can."""
    if not find_compose():
        return "neither `docker compose` nor docker-compose is here"
    done = subprocess.run(["docker", "info"], capture_output=True, text=True)
    return "" if done.returncode == 0 else "no Docker engine answers"


def find_compose() -> list[str]:
    """Return the words of Compose v2, or of docker-compose 1.29, or none."""
    if shutil.which("docker"):
        words = ["docker", "compose"]
        if subprocess.run([*words, "version"], capture_output=True).returncode == 0:
            return words
    return ["docker-compose"] if shutil.which("docker-compose") else []


class Stack:
    """The project's own docker-compose.yml with the smallest victim and experiment."""

    attack_words = ("run", "attacker/experiments/smoke.yaml", "--key-file=/hand-over/attacker.key",
                    "--out=/runs/again")  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self.name = f"earshot-test-{os.getpid()}"
        self.runs = folder / "runs"
        self.runs.mkdir(mode=0o755)  # the containers' user is not the one who tests
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._words = [*find_compose(), "-p", self.name]

    def call(self, words: list[str], timeout_s: float = 300, **variables: str) -> str:
        """Run a command; return what it printed.

        Raises:
            AssertionError: it failed; with everything that it said.
        """
        code, said, errors = self._call(words, timeout_s, variables)
        assert code == 0, f"{words}\n{said}\n{errors}"
        return said

    def compose(self, *words: str, timeout_s: float = 600, **variables: str) -> str:
        """Run Compose on this stack."""
        return self.call([*self._words, *words], timeout_s, **variables)

    def fails(self, *words: str, **variables: str) -> str:
        """Run Compose in vain; return what it said."""
        code, said, errors = self._call([*self._words, *words], 300, variables)
        assert code != 0, said
        return said + errors

    def run_once(
        self, service: str, *words: str, runs: Path | None = None, **variables: str
    ) -> tuple[int, str]:
        """Run a container of ``service`` to its end; return its exit code and what it said."""
        given = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
        command = [*self._words, "run", "--rm", "-T", "--no-deps", *given, service, *words]
        changed = {} if runs is None else {"EARSHOT_RUNS": str(runs)}
        code, said, errors = self._call(command, 300, changed)
        return code, said + errors

    def containers(self, service: str) -> list[str]:
        """Names of the containers of a service, whether they run or have ended."""
        label = "label=com.docker.compose"
        words = ["docker", "ps", "--all", "--format", "{{.Names}}"]
        words += ["--filter", f"{label}.project={self.name}"]
        words += ["--filter", f"{label}.service={service}", "--filter", f"{label}.oneoff=False"]
        return sorted(self.call(words).split())

    def container(self, service: str) -> str:
        """Name of the one container of a service."""
        (name,) = self.containers(service)
        return name

    def wait(self, service: str) -> int:
        """Return the exit code of a service, once it has ended."""
        deadline = time.monotonic() + 900
        while not self.containers(service):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        return int(self.call(["docker", "wait", self.container(service)], timeout_s=900))

    def logs(self, service: str) -> str:
        """What a service said."""
        return self.compose("logs", "--no-color", service)

    def until_ready(self, seconds: float) -> None:
        """Return when the victim answers that it is ready."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, self.logs("victim")
            time.sleep(0.2)

    def until_healthy(self, container: str, seconds: float = 90) -> None:
        """Return when the engine calls a container healthy."""
        deadline = time.monotonic() + seconds
        while self._inspect(container)["State"]["Health"]["Status"] != "healthy":
            assert time.monotonic() < deadline, self.call(["docker", "logs", container])
            time.sleep(0.5)

    def addresses(self, service: str) -> list[str]:
        """Addresses of a service's container in all its networks."""
        networks = self._inspect(self.container(service))["NetworkSettings"]["Networks"]
        return [network["IPAddress"] for network in networks.values()]

    def gateways(self) -> list[str]:
        """Addresses that this machine may have in the engine's networks."""
        names = [f"{self.name}_store", f"{self.name}_api", "bridge"]
        found = json.loads(self.call(["docker", "network", "inspect", *names]))
        subnets = [ip_network(network["IPAM"]["Config"][0]["Subnet"]) for network in found]
        return [str(subnet[1]) for subnet in subnets]  # whether it took that address or not

    def hardening(self, container: str) -> dict[str, Any]:
        """What the engine holds a container to."""
        host = self._inspect(container)["HostConfig"]
        return {
            "read_only": host["ReadonlyRootfs"],
            "memory": host["Memory"],
            "dropped": host["CapDrop"],
            "added": sorted(host["CapAdd"] or []),
            "security": host["SecurityOpt"],
            "published": [b["HostIp"] for p in (host["PortBindings"] or {}).values() for b in p],
        }

    def mounts(self, container: str) -> dict[str, tuple[str, bool]]:
        """Where a container sees which volume or folder, and whether it may write there."""
        return {
            mount["Destination"]: (mount.get("Name") or mount["Source"], mount["RW"])
            for mount in self._inspect(container)["Mounts"]
        }

    def look_around(self, service: str, places: list[str]) -> dict[str, Any]:
        """What a process in a container of ``service`` can reach, read and do."""
        words = ["run", "--rm", "-T", "--no-deps", "--entrypoint", "python", service, "-c", _LOOK]
        return dict(json.loads(self.compose(*words, *places).strip().splitlines()[-1]))

    def crowd(self, url: str, key: str, *, clients: int, clips_each: int) -> dict[str, int]:
        """Send single clips from inside the attacker's network; count the answers by status."""
        words = ["run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "attacker", "-c"]
        told = self.compose(*words, _CROWD, url, key, str(clients), str(clips_each))
        return dict(Counter(json.loads(told.strip().splitlines()[-1])))

    def attack(self, run: str, key: str) -> str:
        """Begin another campaign under ``key``; return the name of its container."""
        words = ["run", "-d", "--no-deps", "-e", f"EARSHOT_KEY={key}", "attacker"]
        words += ["run", "attacker/experiments/smoke.yaml", f"--out=/runs/{run}"]
        return self.compose(*words).strip().splitlines()[-1]

    def victim_command(self, *words: str, said: str = "") -> str:
        """Run `earshot-victim` in the victim's container."""
        inside = ["exec", "-T", "victim", "python", "-m", "victim_service", *words]
        if not said:
            return self.compose(*inside)
        script = f"cat > /tmp/said.yaml && python -m victim_service {' '.join(words)}"
        done = subprocess.run(
            [*self._words, "exec", "-T", "victim", "sh", "-c", script],
            cwd=ROOT, env=self._environment({}), input=said, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def put_plan(self, text: str) -> None:
        """Sell another plan."""
        self.victim_command("plans", "put", "/tmp/said.yaml", said=text)  # noqa: S108 - its own

    def issue_key(self, account: str, plan: str, budget: int) -> str:
        """Issue a key and return it."""
        words = ["keys", "issue", "--account", account, "--plan", plan, "--budget", str(budget)]
        return self.victim_command(*words, "--quiet").strip()

    def spent(self, account: str) -> int:
        """Clips that the ledger charged an account, asked of Redis itself."""
        words = ["exec", "-T", "redis", "redis-cli", "--raw", "HGETALL", "earshot:{ledger}:usage"]
        # Each field is four lines (what, account, key, plan), and its value is the fifth.
        field = rf"^spent\n{account}\n\w+\n[\w-]+\n(\d+)$"
        return sum(map(int, re.findall(field, self.compose(*words), re.MULTILINE)))

    def ledger_is_sound(self) -> bool:
        """Whether the counters are the sums of their entries."""
        self.victim_command("ledger", "verify")
        return True

    def answered_by(self, container: str) -> float:
        """Clips that one victim answered since it began."""
        script = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8765/metrics').read().decode())"
        page = self.call(["docker", "exec", container, "python", "-c", script])
        return sum(
            float(x.split()[-1]) for x in page.splitlines() if x.startswith("victim_clips_total")
        )

    def _inspect(self, container: str) -> dict[str, Any]:
        return dict(json.loads(self.call(["docker", "inspect", container]))[0])

    def _call(
        self, words: list[str], timeout_s: float, variables: dict[str, str]
    ) -> tuple[int, str, str]:
        done = subprocess.run(
            words, cwd=ROOT, env=self._environment(variables), capture_output=True, text=True,
            timeout=timeout_s, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EARSHOT_", "COMPOSE_"))}
        return kept | {
            "EARSHOT_VICTIM": "smoke", "EARSHOT_EXPERIMENT": "smoke",
            "EARSHOT_RUNS": str(self.runs),
            "EARSHOT_PORT": str(self.port), "DOCKER_BUILDKIT": "0", **variables,
        }  # fmt: skip

"""Every command of the README is executed, in its order, on a small copy of the repository."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.compose import README_COMMANDS
from tests.e2e.small import ROOT, environment, search_path, small_copy, speech_folder

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line]
# Those with containers are executed by tests/e2e/test_compose.py, where there is an engine.
COMMANDS = [line for line in LINES if "docker compose" not in line]

# What only changes the size of the work, never the command.
VARIABLES = {
    "make test": 'PYTEST_ADDOPTS="--collect-only -p no:cacheprovider" ',
    "make torture": 'TORTURE_ARGS="--collect-only -p no:cacheprovider" ',
    "make bench": 'BENCH_ARGS="http_path --rounds 1 --seconds 0.2 --no-limit" ',
}
IN_BACKGROUND = "earshot-victim serve"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_copy(tmp_path_factory.mktemp("readme") / "earshot")


@pytest.fixture(scope="module")
def transcript(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, tuple[str, str]]:
    """Run the whole page in one shell; return (exit status, output) by the command's number."""
    data = speech_folder(tmp_path_factory.mktemp("speech"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT", "mkdir -p runs"]
    for number, command in enumerate(COMMANDS):
        lines += script_lines(number, command.replace("8765", str(port)), port)
    shell = subprocess.Popen(
        ["bash", "-c", "\n".join(lines)],
        cwd=folder, text=True, start_new_session=True,
        env=environment(EARSHOT_DATA=str(data), PATH=search_path(folder / "runs" / "bin")),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = shell.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)  # and the service that the page started
        output, _ = shell.communicate()
    parts = re.findall(r"^@start (\d+)\n(.*?)^@end \1 (\d+)$", output, re.DOTALL | re.MULTILINE)
    return {int(number): (status, output) for number, output, status in parts}


def script_lines(number: int, command: str, port: int) -> list[str]:
    """Return the shell lines that run one command and tell its exit status."""
    start, end = f"echo '@start {number}'", f'echo "@end {number} $status"'
    if command.startswith(IN_BACKGROUND):
        answers = f"(echo > /dev/tcp/127.0.0.1/{port}) 2>/dev/null"
        ready = f"for i in $(seq 300); do {answers} && break; sleep .2; done; {answers}"
        return [start, f"{command} > runs/serve.log 2>&1 &", ready, "status=$?", "echo", end]
    run = f"{VARIABLES.get(command, '')}{command}"
    return [start, run, "status=$?", "echo", end]


@pytest.mark.e2e
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=lambda n: COMMANDS[n][:60])
def test_command(transcript: dict[int, tuple[str, str]], number: int) -> None:
    assert number in transcript, "the shell ended before this command"
    status, output = transcript[number]
    assert status == "0", f"{COMMANDS[number]}\n{output[-3000:]}"


@pytest.mark.e2e
@pytest.mark.timeout(1000)
def test_what_the_page_promises_is_there(
    transcript: dict[int, tuple[str, str]], folder: Path
) -> None:
    outputs = {COMMANDS[number]: output for number, (_, output) in transcript.items()}
    assert "report.html" in outputs["make demo"]
    verified = next(output for command, output in outputs.items() if "ledger verify" in command)
    assert "The ledger adds up" in verified
    curl = next(output for command, output in outputs.items() if "/v1/account" in command)
    assert '"budget":2400' in curl.replace(" ", "")
    (study,) = folder.glob("runs/studies/*/smoke-desk/study.md")
    page = study.read_text()
    assert "| Plan | stolen | accuracy lost, points |" in page
    assert "| Rounding to 1 decimal | " in page.partition("accuracy lost, points")[2]
    assert "Not measured: " not in page


def test_commands_with_containers_are_those_that_the_compose_test_executes() -> None:
    assert [line for line in LINES if "docker compose" in line] == list(README_COMMANDS)


def test_the_page_has_commands_and_its_files_exist() -> None:
    assert len(COMMANDS) >= 20
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), f"README links to {target}, which is not there"
    assert README.index("make demo") < README.index("earshot-victim train")


def test_the_picture_of_the_report_is_a_picture() -> None:
    assert Path(ROOT / "docs/report.png").read_bytes().startswith(b"\x89PNG")

"""The whole laboratory in one command: train a victim, serve it, steal it over HTTP, report.

Everything is made below ``runs/demo`` and used again on a second run. The victim service listens
on a free loopback port and ends with this script, however the script ends.
"""

import argparse
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 60
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run every step in turn; return the exit code."""
    options = parse_arguments()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run_steps(options, out)
    except subprocess.CalledProcessError as error:
        print(f"\nerror: this step failed with exit code {error.returncode}: {show(error.cmd)}")
        print("Mend what it says above, then run the same command again: finished steps are kept.")
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Nothing is left running; the same command goes on from here.")
        return 130
    print(f"\nDone in {time.monotonic() - started:.0f} s. Open {out / 'campaign' / 'report.html'}")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--victim", type=Path, default=Path("victim_service/victims/demo.yaml"))
    parser.add_argument("--experiment", type=Path, default=Path("attacker/experiments/demo.yaml"))
    parser.add_argument("--plan", default="demo", help="plan of the attacker's key")
    parser.add_argument("--budget", type=int, default=2400, help="clips the key may ever buy")
    parser.add_argument("--corpus-root", type=Path, default=None, help="the victim's corpus folder")
    parser.add_argument("--proxy-root", type=Path, default=None, help="the proxy corpus folder")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    return parser.parse_args()


def run_steps(options: argparse.Namespace, out: Path) -> None:
    """Train, serve, attack and report."""
    victim, ledger = out / "victim", f"sqlite:///{out / 'ledger.sqlite'}"
    heading("1. The owner trains a speaker-identification model")
    root = ["--corpus-root", str(options.corpus_root)] if options.corpus_root else []
    call(earshot_victim("train", str(options.victim), "--out", str(victim), *root))

    heading("2. The owner serves it behind an API, and sells a key")
    sold = ["--plan", options.plan, "--budget", str(options.budget)]
    key = issue_key(ledger, out / "attacker.key", *sold)
    audit = issue_key(ledger, out / "audit.key", "--scope", "audit")
    with served(victim, ledger, out) as url:
        print(f"The victim answers at {url}")
        heading("3. The attacker knows a URL, a key and a proxy corpus")
        campaign = ["--url", url, "--key-file", str(key), "--out", str(out / "campaign")]
        proxy = ["--proxy-root", str(options.proxy_root)] if options.proxy_root else []
        call(earshot_attacker("plan", str(options.experiment), *campaign, *proxy))
        call(earshot_attacker("run", str(options.experiment), *campaign, *proxy))
        heading("4. The laboratory measures what was stolen")
        report = ["--bundle", str(victim / "bundle"), "--url", url, "--audit-key-file", str(audit)]
        report += ["--key-file", str(key)]
        os.environ["EARSHOT_COMMAND"] = this_command()
        call(earshot_attacker("report", str(out / "campaign"), *report))


def issue_key(ledger: str, path: Path, *arguments: str) -> Path:
    """Issue an API key into ``path`` (readable by its owner only) unless it is there already."""
    if not path.exists():
        command = earshot_victim("keys", "issue", "--ledger", ledger, "--account", path.stem)
        done = subprocess.run(
            [*command, *arguments, "--quiet"], check=True, stdout=subprocess.PIPE, text=True
        )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(done.stdout.strip() + "\n")
    return path


@contextmanager
def served(victim: Path, ledger: str, out: Path) -> Iterator[str]:
    """Serve the victim on a free loopback port for as long as the context lasts; yield its URL."""
    port_file, log = out / "port", out / "victim.log"
    port_file.unlink(missing_ok=True)
    command = earshot_victim("serve", str(victim), "--ledger", ledger, "--port", "0")
    with log.open("ab") as log_file:
        server = subprocess.Popen(
            [*command, "--port-file", str(port_file)],
            stdout=log_file,
            stderr=log_file,
            preexec_fn=end_with_parent,
        )
    try:
        yield wait_until_ready(server, port_file, log)
    finally:
        server.terminate()
        try:
            server.wait(timeout=35)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_until_ready(server: "subprocess.Popen[bytes]", port_file: Path, log: Path) -> str:
    """Return the URL once the service says that it is ready."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        if port_file.exists() and (port := port_file.read_text().strip()):
            url = f"http://127.0.0.1:{port}"
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=2):  # noqa: S310
                    return url
            except (urllib.error.URLError, OSError):
                pass
        time.sleep(0.1)
    print(log.read_text(errors="replace")[-2000:])
    print(f"error: the victim service did not get ready; its log is {log}")
    raise subprocess.CalledProcessError(server.poll() or 1, server.args)


def call(command: list[str]) -> None:
    """Run one step in the foreground, shown as the command that repeats it."""
    print(f"$ {show(command)}", flush=True)
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=end_with_parent)
    try:
        code = process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise subprocess.CalledProcessError(code, command)


def earshot_victim(*arguments: str) -> list[str]:
    """Command line of the victim's console script, run by this very Python."""
    return [sys.executable, "-m", "victim_service", *arguments]


def earshot_attacker(*arguments: str) -> list[str]:
    """Command line of the attacker's console script, run by this very Python."""
    return [sys.executable, "-m", "attacker", *arguments]


def this_command() -> str:
    """Return what a person types to do all of this again; the port is another each time."""
    arguments = shlex.join(sys.argv[1:])
    return f"make demo DEMO_ARGS={shlex.quote(arguments)}" if arguments else "make demo"


def show(command: list[str]) -> str:
    """Return the command as a person would type it."""
    scripts = {"victim_service": "earshot-victim", "attacker": "earshot-attacker"}
    return " ".join([scripts.get(command[2], command[2]), *command[3:]])


def heading(text: str) -> None:
    """Print the title of a step."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def end_with_parent() -> None:
    """Ask Linux to end this child when the script ends, even by SIGKILL."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):  # not Linux: the ordinary clean-up has to do
        return


if __name__ == "__main__":
    sys.exit(main())

"""All measurements, one after the other, and one table of their figures at the end.

``python -m benchmarks [NAME ...] [--rounds N] [--seconds S] [--no-limit]``. Every figure also goes,
with all its rounds, to runs/bench/NAME.json. Use a machine that does nothing else meanwhile.
"""

import argparse
import importlib.util
import subprocess
import sys
import time

from benchmarks.support import report
from benchmarks.support.processes import ROOT, stop_on_sigterm
from benchmarks.support.report import FOLDER, Figure

NAMES = ("http_path", "wire", "step", "ledger", "defences", "peers", "overload")


def main() -> int:
    """Run what was named, or all; return 1 where a limit is missed or a benchmark failed."""
    options = parse()
    stop_on_sigterm()
    words = [] if options.rounds is None else ["--rounds", str(options.rounds)]
    words += [] if options.seconds is None else ["--seconds", str(options.seconds)]
    figures: list[Figure] = []
    failed = False
    for name in options.names or available():
        begun = time.time()
        print(f"\n{name} ...", flush=True)
        code = run(name, words)
        kept = FOLDER / f"{name}.json"
        if code in (0, 1) and kept.exists() and kept.stat().st_mtime >= begun:
            figures += report.read(name)
        else:
            failed = True
            figures.append(Figure(name, [], note=f"FAILED with exit status {code}; see above"))
    report.show(figures, "make bench")
    missed = failed or any(figure.met is False for figure in figures)
    return int(missed and not options.no_limit)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(available()))
    parser.add_argument("--rounds", type=int, help="of each benchmark, in place of its own number")
    parser.add_argument("--seconds", type=float, help="of each measurement")
    parser.add_argument("--no-limit", action="store_true", help="exit 0 whatever was measured")
    options = parser.parse_args()
    unknown = set(options.names) - set(available())
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}. Use {', '.join(available())}.")
    return options


def available() -> list[str]:
    """Return the names of the benchmarks."""
    return [name for name in NAMES if importlib.util.find_spec(f"benchmarks.{name}")]


def run(name: str, words: list[str]) -> int:
    """Run one benchmark to its end and return its exit status."""
    with subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}", *words], cwd=ROOT) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()  # it ends its servers, and is waited for on the way out
            raise


if __name__ == "__main__":
    sys.exit(main())

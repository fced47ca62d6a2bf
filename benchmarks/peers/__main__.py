"""Earshot against LitServe, BentoML and Ray Serve: the same network, machine, client and loads.

Each peer batches dynamically and runs in its quickest form (workers x threads, LitServe also with
its fast queue), chosen for each load by a short trial. Then Earshot and the peer are measured in
turn, the other one stopped; each round gives a ratio. Limits, against LitServe: 1.5 at 4 clients x
64 clips, and 3 at 32 clients x 1 clip.

Earshot does more for a query: it decodes npy, checks key, scope, rate and budgets, writes two
synchronous transactions, and encodes npy. Peers read raw int16 and write raw float32. They serve
the network as one would by their manuals. ``tuned`` gives LitServe what makes Earshot's own network
quick on a CPU, too: the allocator's setting, and batches computed in parts that fit the caches.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.http_path import BATCHES, SINGLES, name_of
from benchmarks.peers import environment, fleet
from benchmarks.support import report
from benchmarks.support.processes import scratch, stop_on_sigterm
from benchmarks.support.raw_client import Load
from benchmarks.support.report import Figure, Report
from benchmarks.support.servers import Running, earshot, warm_up

LOADS = (BATCHES, SINGLES)
LIMITS = {("LitServe", BATCHES): 1.5, ("LitServe", SINGLES): 3.0}
MATCHES = (("LitServe", False), ("LitServe", True), ("BentoML", False), ("Ray Serve", False))
"""Each peer, and whether its network is tuned."""
_TRIAL_S = 1.5

Pair = tuple[int, int]


def main() -> int:
    """Print the figures; return 1 where a limit is missed."""
    parser = report.arguments(__doc__, rounds=5, seconds=3.0)
    parser.add_argument("--peer", action="append", choices=list(fleet.MODULES), help="only this")
    options = parser.parse_args()
    stop_on_sigterm()
    result = Report("peers")
    matches = [(peer, tuned) for peer, tuned in MATCHES if not options.peer or peer in options.peer]
    try:
        python = environment.prepare()
    except environment.NoPeersError as error:
        result.figures = [none(peer, load, str(error)) for peer, _ in matches for load in LOADS]
        return result.finish(no_limit=options.no_limit)
    with scratch() as folder, earshot(folder) as ours:
        warm_up(ours, LOADS)
        for peer, tuned in matches:
            result.figures += match(ours, peer, tuned, python, folder / "victim", options, result)
    return result.finish(no_limit=options.no_limit)


def match(
    ours: Running,
    peer: str,
    tuned: bool,
    python: str,
    checkpoint: Path,
    options: argparse.Namespace,
    result: Report,
) -> list[Figure]:
    """Measure one peer against Earshot, under every load."""
    name = f"{peer}, tuned" if tuned else peer
    trials: dict[fleet.Form, dict[Pair, float]] = {}
    why = ""
    for form in fleet.forms(peer, len(os.sched_getaffinity(0)), tuned=tuned):
        try:
            with fleet.serve(form, python, checkpoint) as theirs:
                trials[form] = {load: trial(theirs, load) for load in LOADS}
        except RuntimeError as error:
            why = f"{form}: {error}"
            print(f"{name}, {why}", flush=True)
            continue
        told = ", ".join(f"{name_of(load)} {rate:,.0f}" for load, rate in trials[form].items())
        print(f"{name}, {form}: {told} clips/s", flush=True)
    found = []
    for load in LOADS:
        limit = None if tuned else LIMITS.get((peer, load))
        if not trials:
            found.append(none(name, load, " ".join(why.split())[:200], limit))
            continue
        best = quickest(trials, load)
        with fleet.serve(best, python, checkpoint) as theirs:
            rows = duel(ours, theirs, load, options)
        result.rounds += [{"peer": name, "form": str(best), "load": load} | row for row in rows]
        ratios = [row["earshot"] / row["peer_rate"] for row in rows]
        failed = sum(row["peer_failures"] for row in rows)
        note = f"{best}" + (f"; {failed} of its answers were not 200" if failed else "")
        found.append(Figure(f"Earshot / {name}, {name_of(load)}", ratios, limit, note=note))
    return found


def quickest(trials: dict[fleet.Form, dict[Pair, float]], load: Pair) -> fleet.Form:
    """Return the form that did best under ``load``."""
    rates = {form: measured[load] for form, measured in trials.items()}
    return max(rates, key=rates.__getitem__)


def trial(theirs: Running, load: Pair) -> float:
    """Return the clips/s of a short measurement, after as long a warm-up."""
    theirs.load(*load, _TRIAL_S / 2)
    return theirs.load(*load, _TRIAL_S).clips_per_s


def duel(
    ours: Running, theirs: Running, load: Pair, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Return one row a round; the two take turns, and who begins changes."""
    theirs.load(*load, _TRIAL_S)

    def our_turn() -> Load:
        theirs.server.pause()
        try:
            return ours.load(*load, options.seconds)
        finally:
            theirs.server.resume()

    def their_turn() -> Load:
        ours.server.pause()
        try:
            return theirs.load(*load, options.seconds)
        finally:
            ours.server.resume()

    rows = []
    for number in range(options.rounds):
        if number % 2:
            peer, earshot_load = their_turn(), our_turn()
        else:
            earshot_load, peer = our_turn(), their_turn()
        if earshot_load.failures:
            raise RuntimeError(f"Earshot refused under load: {dict(earshot_load.statuses)}")
        rows.append({
            "earshot": earshot_load.clips_per_s,
            "earshot_p99_s": earshot_load.latency_s(0.99),
            "peer_rate": max(peer.clips_per_s, 1e-9),
            "peer_p99_s": peer.latency_s(0.99),
            "peer_failures": peer.failures,
        })  # fmt: skip
        rates = f"{earshot_load.clips_per_s:,.0f} against {peer.clips_per_s:,.0f} clips/s"
        print(f"{name_of(load)}: Earshot {rates} of {theirs.name}", flush=True)
    return rows


def none(name: str, load: Pair, why: str, limit: float | None = None) -> Figure:
    """Return a figure that could not be measured."""
    return Figure(f"Earshot / {name}, {name_of(load)}", [], limit, note=why)


if __name__ == "__main__":
    sys.exit(main())

"""A run over HTTP, measured through an audit key of the same victim."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from attacker.commands.report import write_report
from attacker.errors import OracleError
from attacker.lab.audit import AuditError
from attacker.lab.bundle import BundleError
from attacker.lab.results import read_results
from shared.audio import to_wav
from tests.support.forked import start_attacker
from tests.support.keys import add_key
from tests.support.victims import (
    RunningVictim,
    make_clips,
    make_victim,
    running_victim,
)

EXPERIMENT = """
name: tiny
proxy: {kind: speaker_tree, root: PROXY}
budget: 90
marks: [40, 90]
query: {batch_clips: 16}
campaigns:
  - {name: proxy-only, source: {kind: proxy}, sampler: {kind: keep_all}}
  - name: noise
    source: {kind: gaussian_noise}
    sampler: {kind: static_threshold, tau: 20}
    iterations: 3
surrogate:
  network: {kind: knagg_cnn, filters: 8, embedding: 16}
  recipe: {epochs: 2, batch_size: 16}
"""


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVictim]:
    place = tmp_path_factory.mktemp("victim")
    with running_victim(make_victim(place / "model"), place / "service", budget=500) as running:
        yield running


@pytest.fixture(scope="module")
def finished(victim: RunningVictim, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with all surrogates trained."""
    place = tmp_path_factory.mktemp("attacker")
    for number, wave in enumerate(make_clips(12, 4000, seed=5)):
        path = place / "proxy" / f"s{number % 3}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_wav(wave, 4000))
    (place / "tiny.yaml").write_text(EXPERIMENT.replace("PROXY", str(place / "proxy")))
    attacker(victim, place, "run", str(place / "tiny.yaml"), "--out", str(place / "run"))
    return place / "run"


def attacker(victim: RunningVictim, place: Path, *arguments: str) -> str:
    """Run `earshot-attacker` with the query key to its end, and return what it printed."""
    key = place / "query.key"
    key.write_text(victim.key)
    log = place / f"{arguments[0]}.log"
    options = ("--url", victim.url, "--key-file", str(key), "--cache", str(place / "cache"))
    process = start_attacker([*arguments, *options], log)
    process.join(120)
    assert process.exitcode == 0, log.read_text()
    return log.read_text()


@pytest.fixture(scope="module")
def said(victim: RunningVictim, finished: Path) -> str:
    """What the report command printed of the run."""
    audit = finished.parent / "audit.key"
    audit.write_text(victim.keys["audit"])
    bundle = ("--bundle", str(victim.checkpoint / "bundle"), "--audit-key-file", str(audit))
    return attacker(victim, finished.parent, "report", str(finished), *bundle)


@pytest.fixture(scope="module")
def measured(said: str, finished: Path) -> Path:
    """The run folder with its report."""
    assert said
    return finished


def test_the_whole_way_from_a_run_to_a_report(
    victim: RunningVictim, measured: Path, said: str
) -> None:
    finished = measured
    page = (finished / "report.html").read_text()
    results = read_results(finished / "lab")
    assert "report.html" in said
    assert "proxy-only" in said
    assert [mark.queries for mark in results.campaigns[0].marks] == [40, 90]
    assert [mark.queries for mark in results.campaigns[1].marks] == [40, 90]
    assert len(results.comparisons) == 2
    assert results.account is not None
    assert results.account.spent == results.queries == 180  # the audit cost nothing
    assert "they agree" in page
    assert page.count("<audio") >= 6
    assert "could not be made again" not in page
    everything = page + said + (finished / "lab" / "results.json").read_text()
    for key in victim.keys.values():
        assert key not in everything
    labels = json.loads((victim.checkpoint / "bundle" / "bundle.json").read_text())["labels"]
    assert results.victim.labels == tuple(labels)


def test_a_second_report_needs_neither_victim_nor_key(
    victim: RunningVictim, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EARSHOT_KEY", raising=False)
    first = read_results(measured / "lab")
    path = write_report(
        measured,
        victim.checkpoint / "bundle",
        url="http://127.0.0.1:9",
        audit_key=None,
        cache=measured.parent / "cache",
        console=Console(quiet=True),
    )
    again = read_results(measured / "lab")
    assert again == first.model_copy(update={"account": None})
    assert "The ledger was not asked" in path.read_text()


def measure(finished: Path, bundle: Path, url: str, key: str | None, copy: Path) -> None:
    """Measure a copy of the run that remembers nothing."""
    subprocess.run(["cp", "-r", str(finished), str(copy)], check=True)
    subprocess.run(["rm", "-rf", str(copy / "lab")], check=True)
    quiet = Console(quiet=True)
    write_report(copy, bundle, url=url, audit_key=key, console=quiet)


def test_a_metered_key_is_refused_before_it_pays(
    victim: RunningVictim, finished: Path, tmp_path: Path
) -> None:
    key = add_key(victim.ledger_path, "bob", plan="soft", budget=50)
    with pytest.raises(AuditError, match=r"account 'bob' is metered.*--scope audit"):
        measure(finished, victim.checkpoint / "bundle", victim.url, key, tmp_path / "run")


def test_without_a_key_the_message_says_how_to_get_one(
    victim: RunningVictim, finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(AuditError, match="EARSHOT_AUDIT_KEY"):
        measure(finished, victim.checkpoint / "bundle", victim.url, None, tmp_path / "run")


def test_a_victim_that_is_not_up_is_named(
    victim: RunningVictim, finished: Path, tmp_path: Path
) -> None:
    url = "http://127.0.0.1:9"
    with pytest.raises(OracleError, match=re.escape(url)):
        measure(finished, victim.checkpoint / "bundle", url, "key", tmp_path / "run")


def test_the_bundle_of_another_victim_is_refused(
    victim: RunningVictim, finished: Path, tmp_path: Path
) -> None:
    other = make_victim(tmp_path / "other", seed=9)
    with pytest.raises(BundleError, match="belongs to the victim"):
        measure(finished, other / "bundle", victim.url, victim.keys["audit"], tmp_path / "run")


def test_a_surrogate_of_other_answers_is_left_out_and_named(
    victim: RunningVictim, finished: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", str(finished), str(copy)], check=True)
    subprocess.run(
        ["cp", "-r", str(copy / "noise/surrogates/40"), str(copy / "proxy-only/surrogates/41")],
        check=True,
    )
    quiet = Console(quiet=True)
    path = write_report(
        copy,
        victim.checkpoint / "bundle",
        url=victim.url,
        audit_key=victim.keys["audit"],
        cache=finished.parent / "cache",
        console=quiet,
    )
    assert "is left out" in path.read_text()
    assert [m.queries for m in read_results(copy / "lab").campaigns[0].marks] == [40, 90]

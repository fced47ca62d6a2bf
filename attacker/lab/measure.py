"""A whole measurement: read the run, ask the victim, score, write the files and the report."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attacker.errors import OracleError
from attacker.lab.audit import AuditError, Auditor, ask_account
from attacker.lab.bundle import Bundle, read_bundle
from attacker.lab.evaluate import LAB_FOLDER, evaluate
from attacker.lab.reading import predict_surrogate, read_run
from attacker.lab.records import RunRecord
from attacker.lab.report.builder import build_report
from attacker.lab.report.card import hide_keys
from attacker.lab.report.sounds import collect_sounds
from attacker.lab.results import Account, Results, write_results
from attacker.lab.tables import write_tables

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measurement:
    """What is measured, and with which keys; keys are in no file that is written."""

    run: Path
    bundle: Path
    url: str
    audit_key: str | None = field(default=None, repr=False)
    """Needed unless the victim's answers are in the run's cache."""
    query_key: str | None = field(default=None, repr=False)
    """The key that paid; with it the report compares the ledger with the journal."""
    cache: Path = Path("runs/cache")
    again: str | None = None
    """The command that makes the whole run again, where one program did more than this one."""

    def carry_out(self, say: Say = lambda text: None) -> tuple[Results, Path]:
        """Measure; return the results and the path of the report.

        Raises:
            EarshotError: the run, the bundle, the victim or a key does not serve.
            CheckpointError: a surrogate was altered.
        """
        say("reading the run and the evaluation bundle")
        bundle = read_bundle(self.bundle)
        run = read_run(self.run, cache=self.cache)
        bundle.demand_victim(run.victim.checkpoint, who="the victim that this run attacked")
        account, problem = self._account(say)
        findings = evaluate(
            run,
            bundle,
            ask=lambda clips: self._ask(bundle, say),
            predict=predict_surrogate,
            account=account,
            account_problem=problem,
            on_step=say,
        )
        say("writing the tables and the report")
        lab = self.run / LAB_FOLDER
        write_results(findings.results, lab)
        write_tables(run, lab)
        sounds = collect_sounds(run, bundle, findings.victim)
        path = build_report(run, findings, sounds, self._commands(run))
        return findings.results, path

    def _ask(self, bundle: Bundle, say: Say) -> np.ndarray:
        if not self.audit_key:
            raise AuditError(
                "the victim has not labelled the test split yet, and that takes an audit key. "
                "Issue one with `earshot-victim keys issue --scope audit`, and give it in "
                "EARSHOT_AUDIT_KEY or with --audit-key-file."
            )
        auditor = Auditor(
            self.url,
            self.audit_key,
            on_clips=lambda done, total: say(f"the victim labels the test split: {done}/{total}"),
        )
        return auditor.label(bundle)

    def _account(self, say: Say) -> tuple[Account | None, str | None]:
        """Ask the ledger; a victim that is gone costs the report this one comparison only.

        Returns the account, or why there is none although a key was given.
        """
        if not self.query_key:
            return None, None
        try:
            return ask_account(self.url, self.query_key), None
        except OracleError as error:
            # The detail of a refusal is the victim's own text, which may repeat the key.
            problem = hide_keys(str(error).replace(self.query_key, "$KEY"))
            say(f"the ledger could not be asked: {problem}")
            return None, problem

    def _commands(self, run: RunRecord) -> tuple[str, ...]:
        if self.again:
            return (self.again,)
        begun = run.card.get("command")
        first = begun if isinstance(begun, str) else f"earshot-attacker resume {self.run}"
        # Without --url the address came from the environment, or from the default of that day.
        named = any(word.partition("=")[0] == "--url" for word in first.split())
        address = shlex.quote(str(run.card.get("url") or self.url))
        report = f"earshot-attacker report {self.run} --bundle {self.bundle} --url {self.url}"
        return (
            *(() if named else (f"export EARSHOT_URL={address}",)),
            "export EARSHOT_KEY=…         # of the query scope",
            "export EARSHOT_AUDIT_KEY=…   # of the audit scope",
            hide_keys(first),
            report,
        )

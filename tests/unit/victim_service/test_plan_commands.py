"""``earshot-victim plans``, and what a service says of its plans and secret when it starts."""

from pathlib import Path

import pytest

from tests.support.victims import make_victim
from victim_service import __main__ as cli
from victim_service.commands.common import console, with_ledger
from victim_service.plan_book import PlanBook, admin_source
from victim_service.plans import Plan, load_plans
from victim_service.prepare import Prepared
from victim_service.serve import build_parts
from victim_service.settings import PACKAGE, Settings

FILE = "name: soft\nlabel_mode: soft\nbudget: {}\ndefences: [{{kind: rounding, decimals: 2}}]\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command; return (exit status, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setenv("VICTIM_LEDGER", f"sqlite:///{tmp_path / 'ledger.sqlite'}")
        monkeypatch.setattr("sys.argv", ["earshot-victim", *map(str, words)])
        monkeypatch.setattr(console, "width", 160)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    return call


@pytest.fixture
def settings(tmp_path) -> Settings:
    folder = tmp_path / "plans"
    folder.mkdir()
    for name in ("hard", "soft"):
        (folder / f"{name}.yaml").write_text(f"name: {name}\nlabel_mode: {name}\nbudget: 10\n")
    return Settings(ledger=f"sqlite:///{tmp_path / 'ledger.sqlite'}", plans=folder, device="cpu")


def start(settings: Settings, tmp_path: Path) -> tuple[str, bytes]:
    """Start a service and end it; return what its operator reads of the plans, and its secret."""
    checkpoint = tmp_path / "victim"
    if not checkpoint.exists():
        make_victim(checkpoint)
    parts = build_parts(settings, checkpoint)
    parts.ledger.close()  # type: ignore[attr-defined]
    return parts.notice, parts.secret


def test_plans_are_put_listed_shown_and_remembered(run, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(FILE.format(500))
    assert run("plans", "put", file)[:2] == (0, "Plan soft is sold as version 1.\n")
    assert run("plans", "put", file)[1] == "Plan soft is sold as version 1.\n"
    file.write_text(FILE.format(70))
    assert run("plans", "put", file)[1] == "Plan soft is sold as version 2.\n"
    listed = run("plans", "list")[1]
    assert [word in listed for word in ("soft", " 2 ", "rounding", "70", "500")] == [True] * 4 + [
        False
    ]
    history = run("plans", "history", "soft")[1]
    assert "command" in history
    assert "budget: 500 -> 70" in history


def test_what_show_prints_can_be_put_again(run, tmp_path):
    file = tmp_path / "mine.yaml"
    for budget in (500, 70):
        file.write_text(FILE.format(budget))
        run("plans", "put", file)
    file.write_text(run("plans", "show", "soft", "--version", 1)[1])
    assert run("plans", "put", file)[1] == "Plan soft is sold as version 3.\n"
    assert run("plans", "show", "soft")[1] == run("plans", "show", "soft", "--version", 1)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list",), "no plan is sold here yet"),
        (("show", "gold"), "there is no plan 'gold'. See"),
        (("show", "gold", "--version", 3), "there is no version 3 of plan 'gold'. See"),
        (("history", "gold"), "there is no plan 'gold'. See"),
        (("put", "nothing.yaml"), "nothing.yaml: No such file"),
        (("put", PACKAGE / "victims" / "demo.yaml"), "demo.yaml: "),
    ],
)
def test_wrong_words_end_in_one_line(run, words, message):
    run("keys", "issue", "--account", "a")
    status, out, err = run("plans", *words)
    assert (status, out) == (1, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_plan_with_an_unknown_defence_names_the_valid_kinds(run, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("name: p\nlabel_mode: soft\ndefences: [{kind: magic}]\n")
    status, _, err = run("plans", "put", file)
    assert status == 1
    assert "defences.0: unknown kind 'magic'; valid kinds: " in err
    assert "rounding" in err


def test_a_service_adopts_files_and_says_where_the_ledger_holds(settings, tmp_path):
    assert start(settings, tmp_path)[0] == "plans hard v1, soft v1"
    changed = Plan(name="soft", label_mode="soft", budget=3)
    with_ledger(settings, lambda store: PlanBook(store).put(changed, admin_source("key")))
    notice = start(settings, tmp_path)[0]
    assert notice.startswith("plans hard v1, soft v2; not as in their files")
    assert "in the ledger: soft (`earshot-victim plans put FILE`" in notice
    (settings.plans / "soft.yaml").write_text("name: soft\nlabel_mode: soft\nbudget: 11\n")
    assert start(settings, tmp_path)[0] == "plans hard v1, soft v3"
    (settings.plans / "hard.yaml").unlink()  # its keys are still good
    assert start(settings, tmp_path)[0] == "plans hard v1, soft v3"


def test_a_service_keeps_its_secret_and_does_not_start_with_another(settings, tmp_path, run):
    _, secret = start(settings, tmp_path)
    assert len(secret) == 32
    assert start(settings, tmp_path)[1] == secret
    place = Path(f"{settings.ledger.removeprefix('sqlite:///')}.secret")
    place.write_text("00" * 32)
    status, out, err = run("serve", tmp_path / "victim", "--port", 0, "--plans", settings.plans)
    assert (status, out) == (1, "")
    assert "belongs to another secret" in err
    assert len(err.strip().splitlines()) == 1


def test_what_was_prepared_does_not_show_the_secret():
    prepared = Prepared(b"secret" * 4, (), ())
    assert "secretsecret" not in repr(prepared)


def test_the_shipped_plans_are_adopted_as_they_are(tmp_path):
    settings = Settings(ledger=f"sqlite:///{tmp_path / 'ledger.sqlite'}", device="cpu")
    notice, _ = start(settings, tmp_path)
    assert notice == "plans " + ", ".join(f"{name} v1" for name in load_plans(settings.plans))

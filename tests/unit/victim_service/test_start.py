"""From nothing to a service that sells: what `earshot-victim start` makes, hands over and keeps."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.victims import make_victim
from victim_service import __main__ as command_line
from victim_service.bundle import BUNDLE_FOLDER, BUNDLE_NAME, CLASS_COUNTS_NAME
from victim_service.keys import id_of
from victim_service.ledger import open_ledger

RECIPE = """\
name: tiny
corpus: {{kind: speaker_tree, root: {root}}}
sample_rate_hz: 4000
clip_samples: 1024
network: {{kind: knagg_cnn, filters: 4, embedding: 4}}
recipe: {{epochs: 1, batch_size: 8}}
"""


class Place:
    """The folders of a start, and the start itself; serving is left out."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.data, self.attacker, self.lab = (folder / name for name in ("data", "thief", "lab"))
        self.ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.recipe = folder / "tiny.yaml"
        self.recipe.write_text(RECIPE.format(root=folder / "corpus"))
        self.served: list[Path] = []
        monkeypatch.setattr(
            command_line, "serve", lambda checkpoint, **_: self.served.append(checkpoint)
        )

    def put_victim(self, name: str = "tiny") -> None:
        """Put a trained victim where a start would have trained one."""
        from shared import checkpoint

        made = make_victim(self.data / "victim")
        tensors, card = checkpoint.load(made)
        checkpoint.save(made, tensors, {**card, "name": name})

    def start(self, *options: str) -> str:
        words = ["start", "--data", str(self.data), "--attacker", str(self.attacker)]
        words += ["--lab", str(self.lab), "--recipe", str(self.recipe), "--ledger", self.ledger]
        result = CliRunner().invoke(command_line.app, [*words, *options])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    def keys(self) -> dict[str, tuple[str, str, int | None]]:
        """(account, plan, budget) by key id, as the ledger has them."""

        async def read() -> dict[str, tuple[str, str, int | None]]:
            ledger = open_ledger(self.ledger)
            try:
                return {k.key_id: (k.account, k.plan, k.budget) for k in await ledger.keys()}
            finally:
                await ledger.aclose()

        return asyncio.run(read())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_a_start_hands_over_what_each_side_needs_and_serves(place):
    place.put_victim()
    place.start("--plan", "hard", "--budget", "77")
    attacker, audit = place.attacker / "attacker.key", place.lab / "audit.key"
    assert place.keys() == {
        id_of(attacker.read_text().strip()): ("attacker", "hard", 77),
        id_of(audit.read_text().strip()): ("laboratory", "audit", None),
    }
    assert [path.name for path in place.attacker.iterdir()] == ["attacker.key"]
    assert {path.stat().st_mode & 0o777 for path in (attacker, audit)} == {0o600}
    bundle = json.loads((place.lab / BUNDLE_FOLDER / BUNDLE_NAME).read_text())
    assert bundle["labels"][0] == "speaker-00"
    assert place.served == [place.data / "victim"]


def test_those_who_observe_get_a_key_only_where_a_folder_is_named(place):
    place.put_victim()
    place.start("--observe", str(place.folder / "watch"))
    key = (place.folder / "watch" / "admin.key").read_text().strip()
    assert place.keys()[id_of(key)] == ("observers", "admin", None)


def test_a_second_start_makes_nothing_anew(place):
    place.put_victim()
    place.start()
    keys = place.keys()
    words = (place.attacker / "attacker.key").read_text()
    place.start("--budget", "5")
    assert place.keys() == keys
    assert (place.attacker / "attacker.key").read_text() == words
    assert len(place.served) == 2


def test_a_ledger_that_was_thrown_away_gets_new_keys(place):
    place.put_victim()
    place.start()
    before = set(place.keys())
    for path in place.folder.glob("ledger.sqlite*"):
        path.unlink()
    place.start()
    after = place.keys()
    assert len(after) == 2
    assert not before & set(after)
    assert id_of((place.attacker / "attacker.key").read_text().strip()) in after


def test_the_bundle_follows_the_victim(place):
    place.put_victim()
    place.start()
    (place.lab / BUNDLE_FOLDER / BUNDLE_NAME).write_text("{}")
    place.start()
    assert json.loads((place.lab / BUNDLE_FOLDER / BUNDLE_NAME).read_text())["labels"]


def test_a_victim_of_another_recipe_is_not_served_in_its_place(place):
    place.put_victim("other")
    with pytest.raises(Exception, match=r"holds the victim 'other'.*Name another folder"):
        place.start()
    assert place.served == []


def test_a_training_that_was_cut_off_goes_on(place):
    place.put_victim()
    (place.data / "victim" / CLASS_COUNTS_NAME).unlink()
    with pytest.raises(Exception, match=r"corpus.*no such folder|does not exist"):
        place.start()  # it trains: here there is nothing to train on
    assert place.served == []


def test_a_folder_that_cannot_be_written_is_named_with_who_tried(place):
    place.data.write_text("a file stands here")
    with pytest.raises(Exception, match=r"data: .*Let user \d+ write there"):
        place.start()

"""The command line of tables: `validate` and `run` of a file that extends a whole table."""

from collections.abc import Callable
from pathlib import Path

import attacker

Call = Callable[..., tuple[int, str]]
TABLE1 = Path(attacker.__file__).parent / "experiments" / "paper" / "table1.yaml"


def test_a_table_with_other_seeds_is_valid_and_runs(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "more.yaml"
    path.write_text(f"extends: {TABLE1}\nseeds: [3, 4]\n")
    code, output = call("validate", path)
    assert code == 0
    assert f"{path}: valid with the profile desk; 9 rows, 2 seeds, 38,936 clips" in output
    asked = ("--key", "k", "--url", "http://127.0.0.1:9", "--patience-s", "0.1")
    code, output = call("run", path, "--out", tmp_path / "out", *asked)
    assert code == 1
    assert "http://127.0.0.1:9" in output  # it got as far as asking the victim

from typing import get_args

import pytest
import yaml

from shared.config import ConfigError, dump_yaml, validate
from shared.contract import LabelMode
from victim_service.errors import StartError
from victim_service.keys import issue
from victim_service.ledger.base import Budget, Rate
from victim_service.plans import Plan, load_plans, read_plan
from victim_service.settings import PACKAGE


def plan(**fields):
    return validate({"name": "p", "label_mode": "soft", **fields}, Plan, origin="p.yaml")


def test_the_shipped_plans_show_every_label_mode():
    plans = load_plans(PACKAGE / "plans")
    modes = {name: plan.label_mode for name, plan in plans.items() if name != "demo"}
    assert modes == {
        "soft": "soft",
        "top5": "top_k",
        "hard": "hard",
        "rounded": "rounded",
        "temperature": "temperature",
    }
    assert set(modes.values()) == set(get_args(LabelMode))
    assert plans["top5"].top_k == 5
    assert {plans["soft"].headers, plans["rounded"].headers} == {"full", "coarse"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label_mode": "top_k"}, "top_k"),
        ({"top_k": 3}, "top_k"),
        ({"rate_per_s": 5}, "burst"),
        ({"burst": 5}, "rate_per_s"),
        ({"budget": -1}, "budget"),
        ({"rate": 3}, "rate: unknown key"),
        ({"label_mode": "loud"}, "label_mode"),
        ({"label_mode": "rounded"}, "decimals goes with label_mode rounded"),
        ({"decimals": 2}, "decimals goes with label_mode rounded"),
        ({"label_mode": "rounded", "decimals": 7}, "decimals: "),
        ({"label_mode": "rounded", "decimals": 2, "temperature": 2}, "temperature goes with"),
        ({"label_mode": "temperature"}, "temperature goes with label_mode temperature"),
        ({"label_mode": "temperature", "temperature": 0}, "temperature: "),
        ({"label_mode": "temperature", "temperature": float("nan")}, "temperature: "),
        ({"price_per_clip": float("inf")}, "price_per_clip"),
        ({"headers": "some"}, "headers: .*full.*coarse.*none"),
        ({"name": "audit"}, "name: keys of that scope bear this name"),
        ({"name": "admin"}, "name: keys of that scope bear this name"),
        ({"name": "Über"}, "name"),
        (
            {
                "label_mode": "temperature",
                "temperature": 2,
                "defences": [{"kind": "temperature", "temperature": 0.5}],
            },
            "temperature 2 undoes the 0.5 before it",
        ),
        ({"leakage_price": {"most": 4}, "budget": 3}, "budget 3 never sells a clip.*Set 4 or more"),
        ({"leakage_price": {"most": 4}, "account_budget": 3}, "account_budget 3 never sells"),
    ],
)
def test_a_wrong_plan_is_refused_and_the_message_names_the_key(fields, message):
    with pytest.raises(ConfigError, match=message):
        plan(**fields)


@pytest.mark.parametrize(
    ("defence", "message"),
    [
        (
            {"kind": "magic"},
            "defences.0: unknown kind 'magic'; valid kinds: .*rounding.* Write one",
        ),
        ({"decimals": 2}, "defences.0: unknown kind None; valid kinds: .*rounding"),
        ({"kind": ["rounding"]}, "valid kinds: .*rounding"),
        ("rounding", "valid kinds: .*rounding"),
        ({"kind": "rounding"}, "defences.0: rounding: decimals: this key is missing"),
        ({"kind": "rounding", "decimals": 9}, "defences.0: rounding: decimals: .*less than or"),
        ({"kind": "rounding", "decimals": 2, "places": 1}, "rounding: places: unknown key"),
    ],
)
def test_a_wrong_defence_is_refused_and_the_message_says_what_is_valid(defence, message):
    with pytest.raises(ConfigError, match=message):
        plan(defences=[defence])


def test_a_plan_reads_back_what_it_writes():
    for before in (
        *load_plans(PACKAGE / "plans").values(),
        plan(defences=[{"kind": "top_k", "k": 3}, {"kind": "rounding", "decimals": 1}]),
    ):
        assert read_plan(before.model_dump_json(), "p") == before
        assert validate(yaml.safe_load(dump_yaml(before)), Plan, origin="p") == before
    assert [spec.kind for spec in before.defences] == ["top_k", "rounding"]


def test_policies_count_key_account_and_all_and_limit_what_is_limited():
    _, record = issue("alice", "p", "query")
    policies = plan(budget=9, account_budget=20, rate_per_s=2, burst=4).policies(record, 100)
    assert policies == (
        Budget(f"key:{record.key_id}", 9),
        Budget("account:alice", 20),
        Budget("global", 100),
        Rate(f"key:{record.key_id}", 2.0, 4),
    )


def test_a_keys_own_budget_takes_the_place_of_the_plans():
    for own in (0, 5):
        _, record = issue("alice", "p", "query", budget=own)
        assert plan(budget=9).policies(record, None)[0] == Budget(f"key:{record.key_id}", own)


def test_a_folder_without_plans_and_misnamed_plans_are_refused(tmp_path):
    with pytest.raises(StartError, match="no plan"):
        load_plans(tmp_path)
    (tmp_path / "a.yaml").write_text("name: b\nlabel_mode: hard\n")
    with pytest.raises(StartError, match="Name file and plan alike"):
        load_plans(tmp_path)
    (tmp_path / "a.yaml").write_text("name: a\nlabel_mode: hard\nbugdet: 3\n")
    with pytest.raises(StartError, match=r"a\.yaml: bugdet: unknown key"):
        load_plans(tmp_path)

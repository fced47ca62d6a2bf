"""Links as a plan's file writes them, one of each kind that chains are tried with."""

from shared.config import validate
from shared.contract import LabelMode
from victim_service.plans import Plan

NOISE = {"kind": "noise", "scale": 0.1}
LABEL = {"kind": "label_only"}
TOP = {"kind": "top_k", "k": 3}
ROUND = {"kind": "rounding", "decimals": 2}
WARM = {"kind": "temperature", "temperature": 2.0}
BUCKETS = {"kind": "confidence_buckets"}
GUARD_W = {"kind": "modelguard_w", "epsilon": 1.0}
GUARD_S = {"kind": "modelguard_s", "epsilon": 1.0}
DECEIVE = {"kind": "deceptive_labels", "delta": 0.2, "privacy": 1.0}
BEND = {"kind": "reverse_sigmoid", "beta": 0.01, "gamma": 0.2}

MARK = {"kind": "dawn", "rate": 0.01}
TURN = {"kind": "mad", "epsilon": 1.0}
REDIRECT = {"kind": "gradient_redirection", "epsilon": 1.0}
MISLEAD = {"kind": "adaptive_misinformation", "tau": 0.5}


def plan(chain: list[dict[str, object]], label_mode: LabelMode = "soft", **fields: object) -> Plan:
    """Return the plan that sells answers through ``chain``."""
    document = {"name": "p", "label_mode": label_mode, "defences": chain, **fields}
    return validate(document, Plan, origin="p.yaml")

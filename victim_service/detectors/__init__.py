"""Detectors: what watches an account's stream of queries. One file each, one table."""

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from victim_service.detectors.base import Detector, DetectorSpec, Memory, Reference, Seen
from victim_service.detectors.coverage import CoverageSpec
from victim_service.detectors.energy_cusum import EnergyCusumSpec
from victim_service.detectors.fingerprints import FingerprintsSpec
from victim_service.detectors.hardness import HardnessSpec
from victim_service.detectors.leakage import LeakageSpec
from victim_service.detectors.mmd_window import MmdWindowSpec
from victim_service.detectors.prada import PradaSpec
from victim_service.detectors.seat import SeatSpec
from victim_service.kinds import of_kind

DETECTORS: dict[str, type[DetectorSpec]] = {
    "coverage": CoverageSpec,
    "energy_cusum": EnergyCusumSpec,
    "fingerprints": FingerprintsSpec,
    "hardness": HardnessSpec,
    "leakage": LeakageSpec,
    "mmd_window": MmdWindowSpec,
    "prada": PradaSpec,
    "seat": SeatSpec,
}

AnyDetectorSpec = Annotated[
    SerializeAsAny[DetectorSpec], BeforeValidator(of_kind(DETECTORS, DetectorSpec))
]
"""A field that holds the spec of any detector in the table."""

__all__ = [
    "DETECTORS",
    "AnyDetectorSpec",
    "Detector",
    "DetectorSpec",
    "Memory",
    "Reference",
    "Seen",
]

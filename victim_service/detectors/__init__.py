"""Detectors: what watches an account's stream of queries. One file each, one table."""

from victim_service.detectors.base import Detector, DetectorSpec, Memory, Reference, Seen

DETECTORS: dict[str, type[DetectorSpec]] = {}

__all__ = ["DETECTORS", "Detector", "DetectorSpec", "Memory", "Reference", "Seen"]

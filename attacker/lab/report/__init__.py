"""The report: one HTML file that opens offline and needs nothing else."""

from attacker.lab.report.builder import build_report

__all__ = ["build_report"]

"""Detectors against attackers and honest users: who is seen, how soon, and at what false alarms."""

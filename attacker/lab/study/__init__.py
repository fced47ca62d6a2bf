"""Studies: what a plan costs the thief, and what it costs those who are honest."""

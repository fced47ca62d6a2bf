"""The laboratory: what only the experimenter may do. Attack code never imports it."""

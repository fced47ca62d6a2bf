"""The report: one HTML file that opens offline and needs nothing else."""

"""What the measurements share: a lean client, servers to measure, and how figures are told."""

"""A live view of accounts for the terminal: where it reads, and how it looks."""

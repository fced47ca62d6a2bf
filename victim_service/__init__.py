"""The victim: a speaker-identification model sold by the query."""

"""The one page that an operator decides from, made of a finished study's tables."""

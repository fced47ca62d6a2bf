"""What the answers to an account depend on beside the clip: its rung, and what it has had.

It stands in the ledger as text. A reservation keeps the text as it was, so that a replay gives the
first answer again, whatever has happened to the account since.
"""

from typing import Self

from pydantic import Field, ValidationError

from shared.config import Frozen


class AccountState(Frozen):
    """State of one account; the text of a new one is empty."""

    rung: int = Field(default=0, ge=0)
    """Steps of its plan's ladder that are in force; 0 is observed only."""
    alarms: int = Field(default=0, ge=0)
    """Alarms since the last step."""
    queries: int = Field(default=0, ge=0)
    """Clips that were answered and watched."""
    leakage: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """What those answers revealed, in units of the plan's measure."""
    speakers: str = Field(default="", pattern="^[0-9a-f]*$")
    """Labels that it was told, as a bit map in hexadecimal, label 0 in the lowest bit."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the state of ``text``.

        Raises:
            ValueError: it was not written by ``text`` of this class.
        """
        try:
            return cls.model_validate_json(text) if text else cls()
        except ValidationError as error:
            raise ValueError("the account's state in the ledger is damaged") from error

    @classmethod
    def read_or_new(cls, text: str) -> Self:
        """Return the state of ``text``; that of a new account where another release wrote it."""
        try:
            return cls.read(text)
        except ValueError:
            return cls()

    @property
    def text(self) -> str:
        """What the ledger keeps; empty for a new account."""
        return self.model_dump_json(exclude_defaults=True) if self != type(self)() else ""

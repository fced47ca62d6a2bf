"""What a service does with its ledger before the first query: adopt plans, find the secret."""

from dataclasses import dataclass, field

from victim_service.ledger import open_ledger
from victim_service.plan_book import PlanBook, Sold
from victim_service.plans import Plan
from victim_service.secret import load_secret
from victim_service.settings import Settings

_PATIENT_S = 10.0


@dataclass(frozen=True)
class Prepared:
    """What the ledger and the secret's file had to say."""

    secret: bytes = field(repr=False)
    sold: tuple[Sold, ...]
    """The plans that are sold now, by name."""
    passed_over: tuple[str, ...]
    """Plans whose file says something else than what is sold: the ledger's version holds."""

    def notice(self) -> str:
        """Return a line for the operator: the plans, with their versions."""
        names = ", ".join(f"{sold.plan.name} v{sold.version}" for sold in self.sold)
        if not self.passed_over:
            return f"plans {names}"
        held = ", ".join(self.passed_over)
        return (
            f"plans {names}; not as in their files, since they were changed in the ledger: {held} "
            "(`earshot-victim plans put FILE` sells the file's)"
        )


async def prepare(settings: Settings, files: dict[str, Plan]) -> Prepared:
    """Adopt the plan ``files``, and load the secret or make it.

    It has a ledger of its own, so that the service's one belongs to the service's event loop.

    Raises:
        StartError: the ledger cannot be opened, or has seen another secret.
        Refusal: ledger-unreachable.
        ConfigError: a plan in the ledger cannot be read by this release.
    """
    ledger = open_ledger(settings.ledger, _PATIENT_S)
    try:
        book = PlanBook(ledger)
        await book.sync_files(files)
        sold = tuple(await book.all())
        secret = await load_secret(settings, ledger)
    finally:
        await ledger.aclose()
    changed = [item.plan.name for item in sold if files.get(item.plan.name, item.plan) != item.plan]
    return Prepared(secret, sold, tuple(changed))

"""How a frame looks on a terminal of 80 columns or more; 100 show all of it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.contract import AccountUsage
from victim_service.top.frame import Frame, Service

_BAR = 8
_MAX_ACCOUNT = 18
_NAMED_REFUSALS = 2
_SHORT = {
    "budget-exhausted": "budget",
    "rate-limited": "rate",
    "account-suspended": "suspended",
    "batch-exceeds-burst": "burst",
    "queue-full": "queue",
    "still-running": "running",
    "undecodable-audio": "decode",
    "ledger-unreachable": "ledger",
    "deadline-passed": "deadline",
    "idempotency-key-missing": "no-key",
    "idempotency-key-malformed": "bad-key",
    "unsupported-media-type": "type",
    "wrong-sample-rate": "wrong-hz",
}


def view(frame: Frame, height: int | None = None) -> RenderableType:
    """Return what the terminal shows; ``height`` rows at most, the idle accounts cut away."""
    lines: list[RenderableType] = [_title(frame), _totals(frame.accounts)]
    lines += [_service(service) for service in frame.services]
    if frame.trouble:
        lines.append(Text(plain(frame.trouble), style="red", no_wrap=True, overflow="ellipsis"))
    lines.append(Text())
    ranked = frame.ranked
    room = len(ranked)
    if height is not None:
        room = max(1, height - len(lines) - 2)
    shown = ranked if len(ranked) <= room else ranked[:room]
    lines.append(_table(shown, frame.at, refusals=bool(frame.services)))
    if len(shown) < len(ranked):
        lines.append(Text(f"and {len(ranked) - len(shown)} more", style="dim"))
    elif not ranked:
        lines.append(
            Text("No keys yet. Issue one: earshot-victim keys issue --account NAME", style="dim")
        )
    return Group(*lines)


def _title(frame: Frame) -> Table:
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(no_wrap=True, justify="right")
    title = Text.assemble(("Earshot victim", "bold"), "  ", (plain(frame.origin), "dim"))
    line.add_row(title, datetime.fromtimestamp(frame.at, UTC).strftime("%H:%M:%S UTC"))
    return line


def _totals(accounts: Sequence[AccountUsage]) -> Text:
    keys = [key for one in accounts for key in one.keys]
    valid = sum(key.info.state == "valid" for key in keys)
    rates = [one.clips_per_s for one in accounts if one.clips_per_s is not None]
    refused = sum(sum(one.refusals.values()) for one in accounts)
    parts = [
        f"{len(accounts)} account{'s' * (len(accounts) != 1)}",
        f"{valid}/{len(keys)} keys valid",
        f"{rate(sum(rates) if rates else None)} clips/s",
        f"spent {short(sum(one.spent for one in accounts))}",
        f"cost {money(sum(one.cost for one in accounts))}",
    ]
    if refused:
        parts.append(f"refused {short(refused)}")
    return Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")


def _service(service: Service) -> Text:
    good = service.state == "ready"
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(plain(service.state), style="bold green" if good else "bold red")
    line.append(f"  {plain(service.url)}", style="dim")
    if service.queue_clips is not None:
        line.append(f"  queue {short(service.queue_clips)} clips")
    if service.p50_s is not None and service.p99_s is not None:
        line.append(f"  p50 {_time(service.p50_s)}  p99 {_time(service.p99_s)}")
    if service.refused:
        line.append(f"  refused {short(service.refused)} in all")
    return line


def _table(accounts: Sequence[AccountUsage], at: float, *, refusals: bool) -> Table:
    """``refusals`` are known to services only: a ledger keeps none."""
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="bold underline")
    # The least widths keep the columns in place while the numbers run. On a narrow terminal names
    # give way first: only columns that may wrap are made narrower, which their texts then do not.
    table.add_column("account", overflow="ellipsis", min_width=7, max_width=_MAX_ACCOUNT)
    table.add_column("keys", no_wrap=True, justify="right", min_width=len("keys"))
    table.add_column("plan", overflow="ellipsis", min_width=4, max_width=12)
    ladder = any(one.rung or one.alarms for one in accounts)
    if ladder:
        table.add_column("rung", no_wrap=True, justify="right", min_width=len("rung"))
    table.add_column("spent", no_wrap=True, justify="right", min_width=7)
    table.add_column("left", no_wrap=True, min_width=_BAR + 8)
    table.add_column("cost", no_wrap=True, justify="right", min_width=8)
    table.add_column("clips/s", no_wrap=True, justify="right", min_width=7)
    if refusals:
        table.add_column("refused", overflow="ellipsis", ratio=1)
    table.add_column("last", no_wrap=True, justify="right", min_width=6)
    for one in accounts:
        busy = bool(one.clips_per_s)
        table.add_row(
            Text(plain(one.account), style="bold" if busy else "", no_wrap=True),
            str(sum(key.info.state == "valid" for key in one.keys)),
            Text(plain(_plans(one)), no_wrap=True),
            *([_rung(one)] if ladder else []),
            short(one.spent),
            _left(one),
            money(one.cost),
            Text(rate(one.clips_per_s), style="bold cyan" if busy else "dim"),
            *([_refused(one.refusals)] if refusals else []),
            Text(_age(one.last_at, at), style="dim"),
        )
    return table


def _plans(one: AccountUsage) -> str:
    valid = [key.info.plan for key in one.keys if key.info.state == "valid"]
    names = list(dict.fromkeys(valid or [key.info.plan for key in one.keys]))
    return names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "")


def _rung(one: AccountUsage) -> Text:
    """Return the rung, with an exclamation mark where alarms came since."""
    style = "bold red" if one.rung else "yellow" if one.alarms else "dim"
    return Text(f"{one.rung}{'!' if one.alarms else ''}", style=style)


def _left(one: AccountUsage) -> Text:
    """Return a bar and the clips left of the budget."""
    if all(key.info.scope != "query" for key in one.keys):
        text = f"{short(one.audited)} audited" if one.audited else "unmetered"
        return Text(text, style="dim")
    if one.remaining is None:
        return Text("no limit", style="dim")
    share = min(1.0, one.remaining / one.budget) if one.budget else 0.0
    full = round(_BAR * share)
    if one.remaining and not full:
        full = 1  # an empty bar says that nothing is left
    style = "green" if share > 0.5 else "yellow" if share > 0.1 else "red"
    left = short(one.remaining)
    return Text.assemble(("█" * full, style), ("░" * (_BAR - full), "dim"), f" {left:>7}")


def _refused(refusals: dict[str, int]) -> Text:
    most = sorted(refusals.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{_SHORT.get(code, code)} {short(count)}" for code, count in most]
    more = len(words) - _NAMED_REFUSALS
    told = " ".join(words[:_NAMED_REFUSALS]) + (f" +{more}" if more > 0 else "")
    return Text(plain(told), style="yellow", no_wrap=True)


def plain(text: str) -> str:
    """Return ``text`` without what could steer a terminal: a service may say anything."""
    return "".join(char if char.isprintable() else "?" for char in text)


def short(count: float) -> str:
    """Return a number of clips in at most 7 characters."""
    for limit, unit, suffix in ((1e6, 1, ""), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if count < limit:
            return f"{count:,.0f}" if unit == 1 else f"{count / unit:.4g}{suffix}"
    return f"{count:.1e}"


def money(cost: float) -> str:
    """Return a sum of money, with cents as long as they matter, in at most 9 characters."""
    return f"{cost:,.2f}" if cost < 1e6 else short(cost)


def rate(clips_per_s: float | None) -> str:
    """Return a rate in at most 7 characters; a hyphen where it is not known yet."""
    if clips_per_s is None:
        return "-"
    if 0 < clips_per_s < 10:
        return f"{clips_per_s:.1f}"
    return short(clips_per_s)


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _age(last_at: float | None, now: float) -> str:
    if last_at is None:
        return "never"
    age_s = max(0.0, now - last_at)
    for limit_s, unit_s, name in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if age_s < limit_s:
            return f"{age_s / unit_s:.0f} {name}"
    return f"{age_s / 86_400:.0f} d"

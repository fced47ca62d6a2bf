"""``earshot-victim verify-watermark``: whether a suspect learnt from what an account was sold."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from victim_service.commands.common import LedgerOption, read_settings, with_ledger
from victim_service.commands.ledger import SecretOption
from victim_service.defences import Asked
from victim_service.defences.dawn_verify import DECISION, verify
from victim_service.errors import StartError
from victim_service.ledger import Ledger
from victim_service.plan_book import PlanBook
from victim_service.plans import Plan
from victim_service.secret import load_secret


def verify_watermark(
    clips: Annotated[Path, typer.Argument(help="Clips that the account asked: npy (B, T).")],
    answers: Annotated[
        Path, typer.Argument(help="The suspect's: npy, labels (B,) or probabilities (B, K).")
    ],
    checkpoint: Annotated[Path, typer.Option(help="Folder of the checkpoint that was served.")],
    account: Annotated[str, typer.Option(help="Account that bought the answers.")],
    plan: Annotated[str, typer.Option(help="Plan it was on; `dawn` is among its defences.")],
    version: Annotated[int, typer.Option(min=1, help="Version of the plan; see `history`.")] = 1,
    ledger: LedgerOption = None,
    secret_file: SecretOption = None,
) -> None:
    """Tell how likely it is that the suspect was made without these answers; exit 1 if too likely.

    Which clips are triggers follows from the secret and from what is named here.
    """
    from shared.checkpoint import TENSORS_HASH, load_card

    card = load_card(checkpoint)
    settings = read_settings(ledger=ledger, secret_file=secret_file)

    async def use(store: Ledger) -> tuple[Plan | None, bytes]:
        sold = await PlanBook(store).at(plan, version)
        return sold, await load_secret(settings, store, create=False)

    sold, secret = with_ledger(settings, use)
    if sold is None:
        raise StartError(
            f"there is no version {version} of plan {plan!r}. See `earshot-victim plans history`."
        )
    asked = Asked(secret, account, card[TENSORS_HASH], plan, version)
    classes = len(card["labels"])
    waves, labels = _clips(clips, card), _labels(answers, classes)
    try:
        verdict = verify(sold.defences, asked, waves, labels, classes)
    except ValueError as error:
        raise StartError(f"{clips}, {answers}: {error}.") from error
    typer.echo(
        f"{verdict.clips} clips, {verdict.triggers} triggers: the suspect says the keyed label "
        f"to {verdict.agreements}. A model made without them does so, or more often, with "
        f"probability {verdict.p_value:.3g}."
    )
    if not verdict.stolen:
        typer.echo(f"No evidence of theft: that is not below {DECISION:g}.")
        raise typer.Exit(1)
    typer.echo(f"The suspect learnt from these answers: that is below {DECISION:g}.")


def _clips(path: Path, card: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Return the clips of a file as the service decodes them: their digests depend on it."""
    from shared.audio import AudioError, decode_clips

    body = _read(path)
    try:
        return decode_clips(
            body,
            "application/x-npy",
            sample_rate_hz=card["sample_rate_hz"],
            clip_samples=card["clip_samples"],
            max_clips=len(body),
        )
    except AudioError as error:
        raise StartError(f"{path}: {error}. Give clips as they were sent, as npy.") from error


def _labels(path: Path, classes: int) -> npt.NDArray[np.int64]:
    from shared.audio import AudioError, from_npy

    body = _read(path)
    try:
        answers = from_npy(body, max_bytes=len(body))
    except AudioError as error:
        raise StartError(f"{path}: {error}. Give labels or probabilities as npy.") from error
    if answers.ndim == 2 and answers.shape[1] == classes:
        answers = answers.argmax(axis=1)
    if answers.ndim != 1 or answers.dtype.kind != "i":
        raise StartError(
            f"{path}: {answers.dtype} of shape {answers.shape} are no answers. "
            f"Give integer labels (B,) or probabilities (B, {classes})."
        )
    labels: npt.NDArray[np.int64] = answers.astype(np.int64)
    return labels


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}. Name an existing npy file.") from error

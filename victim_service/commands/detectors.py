"""``earshot-victim detectors``: which there are, fit them to a victim, and try them on clips."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from shared.config import ConfigError, read_yaml, validate
from victim_service.commands.common import console
from victim_service.errors import StartError

app = typer.Typer(
    help="Watch the streams of accounts; see docs/detectors.md.", no_args_is_help=True
)

CheckpointArgument = Annotated[Path, typer.Argument(help="Folder that `train` made.")]
RecipeArgument = Annotated[Path, typer.Argument(help="Recipe YAML that it was trained by.")]
CacheOption = Annotated[
    Path, typer.Option(envvar="EARSHOT_CACHE", help="Where decoded audio is kept.")
]
RootOption = Annotated[
    Path | None, typer.Option(help="Folder of the corpus, in place of the recipe's.")
]
UsersOption = Annotated[
    str | None,
    typer.Option(help="Kinds of honest users, with commas between; all unless given."),
]
_CACHE = Path("runs/cache")
_FEW_WINDOWS = 4000


@app.command("list")
def list_detectors() -> None:
    """List the kinds of detectors and their settings."""
    from victim_service.detectors import DETECTORS

    table = Table("kind", "settings", "what it does")
    for kind, spec in sorted(DETECTORS.items()):
        fields = spec(kind=kind).model_dump(exclude={"kind", "threshold"})
        settings = ", ".join(f"{name}: {value}" for name, value in fields.items())
        table.add_row(kind, settings, (spec.__doc__ or "").strip().splitlines()[0])
    console.print(table)


@app.command("fit")
def fit(
    checkpoint: CheckpointArgument,
    recipe: RecipeArgument,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; CHECKPOINT/detectors unless given.")
    ] = None,
    detectors: Annotated[
        Path | None, typer.Option(help="YAML list of detectors; all, as they come, unless given.")
    ] = None,
    windows: Annotated[
        int, typer.Option(min=80, help="Honest windows that each threshold is fitted to.")
    ] = 8000,
    users: UsersOption = None,
    corpus_root: RootOption = None,
    cache: CacheOption = _CACHE,
) -> None:
    """Fit reference and thresholds of detectors to honest traffic."""
    from victim_service.detectors import DETECTORS
    from victim_service.detectors.fitted import FOLDER, save_fitted
    from victim_service.detectors.fitting import fit_detectors

    specs, profiles = _specs(detectors), _profiles(users)
    plan, data = _victim(recipe, corpus_root, cache)
    with console.status("honest traffic") as status:
        fitted = fit_detectors(
            checkpoint,
            plan,
            data,
            specs,
            windows=windows,
            profiles=profiles,
            progress=lambda done, total: status.update(f"honest user {done + 1} of {total}"),
        )
    folder = out or checkpoint / FOLDER
    save_fitted(folder, fitted)
    table = Table("kind", "threshold", "users", "windows", "99.9 %", "highest by profile")
    for kind, found in fitted.document.fits.items():
        by_profile = (f"{name} {item.highest:.3g}" for name, item in found.profiles.items())
        counts = str(found.users), str(found.windows)
        figures = f"{found.threshold:.4g}", *counts, f"{found.q999:.4g}"
        table.add_row(kind, *figures, ", ".join(by_profile))
    console.print(table)
    for kind, found in fitted.document.fits.items():
        if found.threshold >= DETECTORS[kind].most:
            console.print(
                f"{kind} can never alarm: honest users reach {found.highest:.4g}, and so its "
                f"threshold, {found.threshold:.4g}, is not below {DETECTORS[kind].most:g}, the "
                "highest score that there is. Leave it out of plans, or expect other --users.",
                highlight=False,
            )
    if windows < _FEW_WINDOWS:
        console.print(
            f"{windows:,} windows say little of one alarm in 1,000: fit with at least "
            f"{_FEW_WINDOWS:,}.",
            highlight=False,
        )
    console.print(f"reference and thresholds in {folder}", highlight=False)


@app.command("try")
def try_detectors(
    checkpoint: CheckpointArgument,
    recipe: RecipeArgument,
    clips: Annotated[
        list[Path] | None, typer.Option(help="Queries of a thief: npy (B, T). May be repeated.")
    ] = None,
    fitted: Annotated[
        Path | None,
        typer.Option(help="Folder that `fit` wrote; CHECKPOINT/detectors unless given."),
    ] = None,
    windows: Annotated[int, typer.Option(min=80, help="Honest windows.")] = 8000,
    users: UsersOption = None,
    corpus_root: RootOption = None,
    cache: CacheOption = _CACHE,
) -> None:
    """Measure alarms on honest traffic made of the test split, and on files of a thief's clips."""
    from shared.checkpoint import TENSORS_HASH, load_card
    from victim_service.detectors.fitted import FOLDER, load_fitted
    from victim_service.detectors.trying import Trial

    profiles = _profiles(users)
    plan, data = _victim(recipe, corpus_root, cache)
    identity = load_card(checkpoint)[TENSORS_HASH]
    found = load_fitted(fitted or checkpoint / FOLDER, identity)
    table = Table("kind", "traffic", "users accused", "alarms", "share", "first alarm after")
    for column in table.columns[:2]:
        column.no_wrap = True
    with console.status("test split") as status:
        trial = Trial(checkpoint, plan, data, found)
        for reading in trial.honest(
            windows,
            profiles,
            lambda done, total: status.update(f"honest user {done + 1} of {total}"),
        ):
            table.add_row(*reading.cells())
        for path in clips or []:
            for reading in trial.thief(path.stem, _clips(path, plan.clip_samples)):
                table.add_row(*reading.cells())
    console.print(table)


def _specs(path: Path | None) -> list[Any]:
    from victim_service.detectors import DETECTORS

    if path is None:
        return [spec(kind=kind) for kind, spec in DETECTORS.items()]
    rows = read_yaml(path)
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}: not a list. Write one `- kind: NAME` for each detector.")
    specs = []
    for place, row in enumerate(rows):
        kind = row.get("kind") if isinstance(row, dict) else None
        if kind not in DETECTORS:
            raise ConfigError(
                f"{path}: {place}.kind: unknown kind {kind!r}; valid kinds: "
                f"{', '.join(DETECTORS)}. Write one of these."
            )
        specs.append(validate(row, DETECTORS[kind], origin=f"{path}: {place}"))
    kinds = [spec.kind for spec in specs]
    if len(set(kinds)) < len(kinds):
        raise ConfigError(f"{path}: a kind is named twice. Each has one threshold: name it once.")
    return specs


def _profiles(users: str | None) -> tuple[str, ...]:
    from victim_service.detectors.honest import PROFILES

    if users is None:
        return PROFILES
    named = tuple(dict.fromkeys(word.strip() for word in users.split(",")))
    for word in named:
        if word not in PROFILES:
            raise ConfigError(f"--users: unknown kind {word!r}. Write of {', '.join(PROFILES)}.")
    return named


def _victim(recipe: Path, root: Path | None, cache: Path) -> tuple[Any, Any]:
    from shared.config import load_yaml
    from shared.runtime import tune_process
    from victim_service.train import VictimRecipe, load_data

    tune_process()
    plan = load_yaml(recipe, VictimRecipe)
    plan = plan if root is None else plan.with_root(root)
    return plan, load_data(plan, cache)


def _clips(path: Path, samples: int) -> Any:
    from shared.audio import AudioError, from_int16, from_npy

    try:
        body = path.read_bytes()
        clips = from_npy(body, max_bytes=len(body))
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}. Name an npy file of clips.") from error
    except AudioError as error:
        raise StartError(f"{path}: {error}. Give clips as npy.") from error
    if clips.ndim != 2 or clips.shape[1] != samples:
        raise StartError(f"{path}: clips of shape {clips.shape}. Give (B, {samples}) samples.")
    return from_int16(clips) if clips.dtype == np.int16 else clips.astype(np.float32)

"""Options that several commands share, spelled once."""

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[Path, typer.Argument(metavar="FILE", help="Study file (YAML).", show_default=False)]
StudyName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the study.", show_default=False)]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a field of the file; may be repeated.")
]
Storage = Annotated[Path, typer.Option("--storage", metavar="DIR", help="Folder of all studies.")]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow tracking server or database. Default: MLFLOW_TRACKING_URI, else mlflow.db beside the "
        "storage folder.",
        show_default=False,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Join a running Ray cluster (`auto`, `HOST:PORT`). Default: this machine alone.",
        show_default=False,
    ),
]
TimeBudget = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="Wall-clock time of the search: 90s, 30m, 8h.", show_default=False),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Print the lines of the study's driver.log on standard error, too.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, the rest on stderr.")]

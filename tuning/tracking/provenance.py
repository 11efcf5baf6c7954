"""Tags for a study's run that record its code and library versions."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("torch", "torchvision", "ray", "optuna", "mlflow", "numpy")


def source_tags() -> dict[str, str]:
    """Python and library versions, and the git commit if the program runs from a checkout."""
    tags = {
        "mlflow.source.name": "tune-cli",
        "mlflow.source.type": "LOCAL",
        "version.python": platform.python_version(),
    }
    for library in _LIBRARIES:
        try:
            tags[f"version.{library}"] = version(library)
        except PackageNotFoundError:
            continue
    return tags | _git_tags(Path(__file__).resolve().parents[2])


def _git_tags(checkout: Path) -> dict[str, str]:
    if shutil.which("git") is None or not (checkout / ".git").exists():
        return {}
    commit = _git(checkout, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return {"mlflow.source.git.commit": commit, "code.changed": "yes" if changed else "no"}


def _git(checkout: Path, *arguments: str) -> str | None:
    """Output of a git command; None if it fails, for example in another user's checkout."""
    result = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from cli.packages import DISTRIBUTION, OWN_PACKAGES, check_packages
from trainables.errors import InputError


def test_our_own_packages_pass() -> None:
    check_packages()


@pytest.mark.parametrize("package", OWN_PACKAGES)
def test_a_foreign_package_of_the_same_name_is_refused(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=f"package '{package}' would be imported from {tmp_path / package}"):
        check_packages()


def test_a_missing_package_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(InputError, match="from nowhere"):
        check_packages()


def test_no_other_distribution_here_owns_our_packages() -> None:
    owners = packages_distributions()
    for package in OWN_PACKAGES:
        assert set(owners.get(package, ())) <= {DISTRIBUTION}, package

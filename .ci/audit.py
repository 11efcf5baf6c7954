"""Ask pip-audit for known vulnerabilities of the packages of a requirements file.

pip-audit reports "no known vulnerabilities" and exits with 0 also where the index knew none of the packages. This
script exits with 1 for a vulnerability, for an index that answered for some packages only, and for any error of
pip-audit. It exits with 0 if the index answered for all packages, or if none answered at all; then it prints NOT DONE.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence

# The last line of pip-audit's error output where nothing answered. Not SSLError: then something did.
_UNREACHABLE = re.compile(
    r"requests\.exceptions\.(ConnectionError|ProxyError|ConnectTimeout|ReadTimeout)\b|Could not connect"
)


def verdict(returncode: int, output: str, errors: str) -> tuple[int, str]:
    """Exit code and message for what pip-audit answered with `--format json`."""
    try:
        packages = json.loads(output)["dependencies"]
    except ValueError:
        last_line = errors.strip().splitlines()[-1] if errors.strip() else f"exit code {returncode}, no output"
        if _UNREACHABLE.search(last_line):
            return 0, _not_done(last_line)
        return 1, f"audit: pip-audit failed:\n{errors.strip() or last_line}"
    unanswered = [package for package in packages if "skip_reason" in package]
    findings = [
        f"{package['name']} {package['version']}: {found['id']}, "
        f"fixed in {', '.join(found['fix_versions']) or 'no version'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    if findings:
        return 1, "\n".join([f"audit: {len(findings)} known vulnerabilities", *findings])
    if not packages:
        return 1, "audit: the requirements file names no package"
    if len(unanswered) == len(packages):
        return 0, _not_done(unanswered[0]["skip_reason"])
    if unanswered:
        names = ", ".join(package["name"] for package in unanswered)
        return 1, f"audit: no answer for {len(unanswered)} of {len(packages)} packages: {names}"
    return 0, f"audit: no known vulnerabilities in {len(packages)} packages"


def _not_done(reason: str) -> str:
    return (
        "audit: NOT DONE, no index of advisories answered. Nothing is known about the packages; "
        f"run `make audit` where the index can be reached. The first answer was: {reason}"
    )


def main(arguments: Sequence[str]) -> int:
    """Audit the requirements file named in `arguments`."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    answer = subprocess.run([*command, "--requirement", *arguments], capture_output=True, text=True, check=False)
    code, message = verdict(answer.returncode, answer.stdout, answer.stderr)
    print(message, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

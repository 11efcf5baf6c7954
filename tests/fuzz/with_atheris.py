"""The text of study files, mutated under the guidance of coverage: `python -m tests.fuzz.with_atheris --seconds 300`.

Reading and checking alone; networks are left to `test_fuzz.py`. A text that raises anything but InputError ends the
run: atheris prints the traceback and writes the text to `crash-...` in the working directory.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["search_spaces", "yaml"]):
    from search_spaces.loading import load_study
    from trainables.errors import InputError

from tests.fuzz.hostile import EVERY
from tests.fuzz.strategies import TEXTS

_LONGEST = 20_000


def main() -> None:
    """Fuzz for so many seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, corpus = Path(folder, "s.yaml"), Path(folder, "corpus")
        corpus.mkdir()
        for number, text in enumerate([*TEXTS, *(hostile.text for hostile in EVERY)]):
            if len(text) <= _LONGEST:
                (corpus / str(number)).write_bytes(text.encode("utf-8", "surrogatepass"))

        def test_one(data: bytes) -> None:
            file.write_bytes(data)
            try:
                load_study(file, environment={"HOME": "/home"})
            except InputError:
                return

        limits = [f"-max_total_time={arguments.seconds}", f"-max_len={_LONGEST}", "-timeout=5", "-rss_limit_mb=1024"]
        atheris.Setup([sys.argv[0], *limits, str(corpus)], test_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

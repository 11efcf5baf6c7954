"""`python -m cli` is `tune-cli`."""

from cli.main import main

main()

"""One spelling for equal JSON values, and its hash."""

import hashlib
import json


def canonical_json(value: object) -> str:
    """One spelling for equal values; file names of any encoding are taken as they are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: object) -> str:
    """SHA-256 hex digest of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()

"""An environment of a run, for reading."""

from __future__ import annotations

from typing import Any

from reports.model.writing import gigabytes


def environment_pairs(environment: dict[str, Any]) -> list[tuple[str, str]]:
    """An environment as (property, value) texts; unknown properties are kept. What was another when cost was profiled
    comes last."""
    pairs = []
    for key, value in environment.items():
        if value is None or key in ("versions", "dirty", "profiled"):
            continue
        if key == "memory_bytes" and isinstance(value, (int, float)):
            pairs.append(("memory", gigabytes(value)))
        elif key == "commit":
            pairs.append(("commit", f"{value}{' with local changes' if environment.get('dirty') else ''}"))
        else:
            pairs.append((str(key), str(value)))
    versions = environment.get("versions")
    if isinstance(versions, dict):
        pairs += [(str(package), str(version)) for package, version in versions.items()]
    if profiled := environment.get("profiled"):
        pairs += [(f"{name}, when profiled", value) for name, value in environment_pairs(profiled)]
    return pairs

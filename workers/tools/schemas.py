"""Writes what is generated from the catalogue: `docs/schemas/` and `docs/asyncapi.json`.

Run it in a checkout: `python -m workers.tools.schemas`, with `--check` to compare only.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from domain import asyncapi
from domain.catalogue import PUBLISHED

DOCS = Path(__file__).parents[2] / "docs"


def generated() -> dict[str, bytes]:
    """The files as they should be, by their path below `docs/`."""
    documents = {
        f"schemas/{asyncapi.schema_name(*key)}.json": asyncapi.event_schema(*key)
        for key in PUBLISHED
    }
    documents["schemas/envelope.json"] = asyncapi.envelope_schema()
    documents["asyncapi.json"] = asyncapi.document()
    return {
        path: msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
        for path, document in documents.items()
    }


def drift(docs: Path = DOCS) -> list[str]:
    """The paths below `docs` that are missing, differ, or are generated from nothing any more."""
    wanted = generated()
    found = {
        path.relative_to(docs).as_posix(): path.read_bytes()
        for path in (*docs.glob("schemas/*"), docs / "asyncapi.json")
        if path.is_file()
    }
    paths = wanted.keys() | found.keys()
    return sorted(path for path in paths if wanted.get(path) != found.get(path))


def write(docs: Path = DOCS) -> None:
    """Make `drift` empty."""
    wanted = generated()
    for path in drift(docs):
        if path in wanted:
            (docs / path).parent.mkdir(parents=True, exist_ok=True)
            (docs / path).write_bytes(wanted[path])
        else:
            (docs / path).unlink()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.tools.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    if not parser.parse_args().check:
        write()
    elif differing := drift():
        sys.exit(f"Not as generated: {', '.join(differing)}. Run python -m workers.tools.schemas.")


if __name__ == "__main__":
    main()

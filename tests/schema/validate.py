#!/usr/bin/env python3
"""Holds `batchd schema` against another author's validator: every example validates, and what is structurally wrong does not.

    validate.py path/to/batchd
"""
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[2]
BAD = ROOT / "tests/data/badconfig"
# What only a parser of cron, zones and names finds.
BEYOND = {"097", "101", "105", "109", "117", "121"}


def examples():
    """Every TOML block of the documentation, and the sample; fragments become a job."""
    yield "jobs.toml", (ROOT / "jobs.toml").read_text()
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", document.read_text(), re.M | re.S)):
            if block.startswith("# fragment"):
                block = "[jobs.fragment]\n" + block
                if not re.search(r"^(schedule|after) *=", block, re.M):
                    block += '\nschedule = "manual"\n'
                if not re.search(r"^(command|shell|handler|http|worker) *=", block, re.M):
                    block += '\ncommand = ["true"]\n'
            yield f"{document.name}, block {number + 1}", block
    for path in sorted((BAD / "ok").glob("*.toml")):
        yield path.name, path.read_text("utf-8-sig")


def main():
    schema = json.loads(subprocess.run([sys.argv[1], "schema"], check=True, capture_output=True).stdout)
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    failures, good, bad = [], 0, 0
    for place, text in examples():
        errors = [f"{place}: {'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(tomllib.loads(text))]
        failures += errors
        good += not errors
    for line in (BAD / "index.jsonl").read_text().splitlines():
        case = json.loads(line)
        if case["kind"] == "syntax" or case["file"][:3] in BEYOND:
            continue
        if validator.is_valid(tomllib.loads((BAD / case["file"]).read_text())):
            failures.append(f"{case['file']} is wrong ({case['suggest']}), and validates")
        bad += 1
    print("\n".join(failures) or f"{good} examples validate, {bad} wrong files do not")
    sys.exit(bool(failures) or good < 20 or bad < 12)


main()

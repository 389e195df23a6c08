"""Compares what the console has told with the records: told.py TOLD DATABASE."""

import json
import re
import sqlite3
import sys

records = sqlite3.connect(sys.argv[2])
runs = {name for (name,) in records.execute("SELECT id FROM run WHERE outcome = 'succeeded'")}
partials = {
    (name, json.loads(target) if target else None)
    for name, target in records.execute("SELECT run.id, target FROM partial JOIN run ON run.key = run WHERE partial.outcome = 'succeeded'")
}
told, lost = 0, []
for line in open(sys.argv[1], errors="replace"):
    told += 1
    if found := re.match(r"run=(\S+) partial=(\S+)\] succeeded", line):
        found = found[1], found[2]
        lost += [found] if found not in partials else []
    elif found := re.match(r"(?:run=)?([^\] ]+)\]? (?:run )?succeeded", line):
        lost += [found[1]] if found[1] not in runs else []
    else:
        lost.append(line)
print(f"FAILED {len(lost)} of {told} are lost: {lost[:5]}" if lost else f"ok {told} lines of success, all on record")

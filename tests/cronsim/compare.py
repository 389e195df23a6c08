"""Compares `batchd next` with cronsim, a Python evaluator of Debian's dialect by another author, on random schedules.

Left out is what cronsim is known to get wrong, or does otherwise on purpose: starts inside a repeated hour (it may answer before the
start), `N-N/s`, clocks that change at midnight or by less than an hour, jumps of three hours and more, and the DST rules for six
fields.

    python compare.py BATCHD [CASES] [SEED]

Runs a fixed seed and, without SEED, a fresh one, which is printed.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim

FIXED_SEED = 20261124
FIRES = 4

# Whole hours, not at midnight, and rules that a release of the zone data does not move.
CHANGING = """America/New_York America/Chicago America/Denver America/Los_Angeles America/Anchorage America/Halifax Europe/Berlin
Europe/London Europe/Paris Europe/Athens Europe/Helsinki Europe/Lisbon Australia/Sydney Australia/Adelaide Australia/Hobart
Pacific/Auckland""".split()
STEADY = "UTC Asia/Seoul Asia/Tokyo Asia/Kolkata Asia/Kathmandu Africa/Lagos Africa/Johannesburg".split()
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split()


def field(pick, least, most, stars=0.35):
    kind = pick.random()
    if kind < stars:
        return "*" if pick.random() < 0.5 else f"*/{pick.randint(2, max(2, (most - least) // 2))}"
    values = sorted(pick.sample(range(least, most + 1), pick.randint(1, 3)))
    if kind < stars + 0.35:
        return ",".join(map(str, values))
    first = pick.randint(least, most - 1)
    last = pick.randint(first + 1, most)
    step = f"/{pick.randint(1, 7)}" if pick.random() < 0.3 else ""
    return f"{first}-{last}{step}"


def day_field(pick):
    kind = pick.random()
    if kind < 0.5:
        return "*"
    if kind < 0.62:
        return "L"
    if kind < 0.66:
        return "LW"
    return field(pick, 1, 28, stars=0.1)


def weekday_field(pick):
    kind = pick.random()
    if kind < 0.55:
        return "*"
    if kind < 0.7:
        return pick.choice(WEEKDAYS)
    if kind < 0.8:
        return f"{pick.randint(0, 6)}#{pick.randint(1, 4)}"
    if kind < 0.86:
        return f"{pick.randint(0, 6)}L"
    return field(pick, 0, 6, stars=0.1)


def expression(pick, six):
    month = "*" if pick.random() < 0.7 else pick.choice([field(pick, 1, 12, stars=0.1), pick.choice(MONTHS)])
    fields = [field(pick, 0, 59), field(pick, 0, 23), day_field(pick), month, weekday_field(pick)]
    if six:
        fields.insert(0, field(pick, 0, 59))
    return " ".join(fields)


def is_repeated(instant, zone):
    local = instant.astimezone(zone).replace(tzinfo=None)
    return local.replace(tzinfo=zone, fold=0).utcoffset() != local.replace(tzinfo=zone, fold=1).utcoffset()


def start(pick, zone):
    """Half of the starts lie close to a change of the clocks; years from 1990 to 2199."""
    instant = datetime(pick.randint(1990, 2199), 1, 1, tzinfo=timezone.utc) + timedelta(seconds=pick.randint(0, 365 * 86400))
    offset = instant.astimezone(zone).utcoffset()
    if pick.random() < 0.5:
        for _ in range(370):
            instant += timedelta(days=1)
            if instant.astimezone(zone).utcoffset() != offset:
                instant += timedelta(minutes=pick.randint(-2 * 1440, 60))
                break
    return instant


def question(pick, number):
    six = pick.random() < 0.1
    name = pick.choice(STEADY if six else CHANGING + STEADY)
    zone = ZoneInfo(name)
    while is_repeated(after := start(pick, zone), zone):
        pass
    return {"id": number, "expr": expression(pick, six), "tz": name, "after": after.strftime("%Y-%m-%dT%H:%M:%SZ"), "count": FIRES}


def expected(asked):
    zone = ZoneInfo(asked["tz"])
    after = datetime.fromisoformat(asked["after"].replace("Z", "+00:00")).astimezone(zone)
    seen = []
    # It gives up after fifty years without a fire; what it has found until then is compared.
    for fire in CronSim(asked["expr"], after):
        fire = fire.astimezone(timezone.utc)
        # Two missed times at one gap are one instant for us.
        if fire not in seen:
            seen.append(fire)
        if len(seen) == FIRES:
            break
    return [fire.strftime("%Y-%m-%dT%H:%M:%SZ") for fire in seen]


def compare(batchd, cases, seed):
    pick = random.Random(seed)
    questions = [question(pick, number) for number in range(cases)]
    with tempfile.TemporaryFile("w+") as asked:
        asked.writelines(json.dumps(each) + "\n" for each in questions)
        asked.seek(0)
        answers = subprocess.run([batchd, "next", "--batch"], stdin=asked, capture_output=True, text=True, check=True).stdout
    different = 0
    for each, answer in zip(questions, map(json.loads, answers.splitlines()), strict=True):
        wanted = expected(each)
        if "next" not in answer or answer["next"][: len(wanted)] != wanted:
            different += 1
            if different <= 10:
                print(f"{each['expr']!r} in {each['tz']} after {each['after']}\n  batchd  {answer}\n  cronsim {wanted}")
    print(f"seed {seed}: {cases} cases, {different} different")
    return different


def main():
    batchd, cases = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    seeds = [int(sys.argv[3])] if len(sys.argv) > 3 else [FIXED_SEED, time.time_ns() & 0xFFFFFFFF]
    sys.exit(1 if sum(compare(batchd, cases, seed) for seed in seeds) else 0)


if __name__ == "__main__":
    main()

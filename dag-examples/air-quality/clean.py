"""Turns raw readings into one trusted value a station and hour, and counts what was wrong."""

import csv
import json
import statistics
from collections import Counter
from datetime import datetime, timedelta

import step

SENTINEL = -999.0
HIGHEST = 1000.0  # µg/m³; no sensor of this kind reports more
SPIKE = 6.0  # times the median of the hours around
STUCK = 6  # equal readings in a row
LONGEST_GAP = 6  # hours that may be filled
HOUR = timedelta(hours=1)


def main():
    faults = Counter()
    kept, filled = 0, 0
    with open(step.artifact_path("clean.csv"), "w", encoding="utf-8") as out:
        out.write("time,station,pm25,filled\n")
        for station, readings in sorted(read(faults).items()):
            start, series = hourly(readings)
            reject_stuck(series, faults)
            reject_spikes(series, faults)
            kept += sum(value is not None for value in series)
            gaps = fill(series)
            filled += len(gaps)
            out.writelines(lines(station, start, series, gaps))

    rejected = sum(faults.values())
    with open(step.artifact_path("quality.json"), "w", encoding="utf-8") as out:
        json.dump({"kept": kept, "filled": filled, "rejected": dict(sorted(faults.items()))}, out, indent=2)
    for name, value in (("kept", kept), ("rejected", rejected), ("filled", filled)):
        step.set_output(name, value)
    print(f"kept {kept}, rejected {rejected}, filled {filled} hours in gaps of at most {LONGEST_GAP}")
    for fault, count in faults.most_common():
        print(f"  {fault:<22}{count:>6}")


def read(faults):
    """Readings by station and time: unit and humidity corrected, the first of each hour."""
    stations = {}
    with open(step.input_path("measurements.csv"), newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        for time, station, text, unit, humidity in rows:
            readings = stations.setdefault(station, {})
            if time in readings:
                faults["sent twice"] += 1
                continue
            readings[time] = accept(text, unit, float(humidity), faults)
    return stations


def accept(text, unit, humidity, faults):
    """The dry value in µg/m³, or none with the fault counted."""
    if not text:
        faults["empty"] += 1
        return None
    value = float(text)
    if value == SENTINEL:
        faults["sensor says -999"] += 1
        return None
    if unit == "mg/m3":
        value *= 1000
    if not 0 <= value <= HIGHEST:
        faults["out of range"] += 1
        return None
    # The reading before the correction tells a stuck sensor; the correction is exact.
    return value, value / (1 + 0.25 * humidity * humidity / (1 - 0.9 * humidity))


def hourly(readings):
    """The first hour, and one place for each hour up to the last."""
    times = {datetime.fromisoformat(time): value for time, value in readings.items()}
    start, end = min(times), max(times)
    count = int((end - start) / HOUR) + 1
    series = [None] * count
    for time, value in times.items():
        series[int((time - start) / HOUR)] = value
    return start, series


def reject_stuck(series, faults):
    """Drops repetitions of one raw reading, and leaves dry values behind."""
    begin = 0
    for at in range(1, len(series) + 1):
        same = at < len(series) and series[at] and series[begin] and series[at][0] == series[begin][0]
        if same:
            continue
        if series[begin] and at - begin >= STUCK:
            faults["sensor stuck"] += at - begin
            series[begin:at] = [None] * (at - begin)
        begin = at
    series[:] = [value and value[1] for value in series]


def reject_spikes(series, faults):
    """Drops values far above the hours around them."""
    for at, value in enumerate(series):
        if value is None:
            continue
        around = [near for near in series[max(0, at - 3) : at + 4] if near is not None]
        if value > SPIKE * statistics.median_low(around):
            faults["spike"] += 1
            series[at] = None


def fill(series):
    """Draws straight lines through short gaps; returns the places."""
    places, last = set(), None
    for at, value in enumerate(series):
        if value is None:
            continue
        if last is not None and 1 < at - last <= LONGEST_GAP + 1:
            slope = (value - series[last]) / (at - last)
            for gap in range(last + 1, at):
                series[gap] = series[last] + slope * (gap - last)
                places.add(gap)
        last = at
    return places


def lines(station, start, series, gaps):
    for at, value in enumerate(series):
        time = (start + at * HOUR).strftime("%Y-%m-%dT%H:%M")
        text = "" if value is None else f"{value:.3f}"
        yield f"{time},{station},{text},{int(at in gaps)}\n"


if __name__ == "__main__":
    main()

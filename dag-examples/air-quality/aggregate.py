"""Aggregates one station: its hourly series, mean, daily profile and days above the limit."""

import argparse
import csv
from collections import defaultdict
from statistics import fmean

import step

DAILY_LIMIT = 15.0  # µg/m³ in 24 hours, WHO air quality guidelines 2021
ENOUGH_HOURS = 18  # of a day, for its mean to count
BARS = "▁▂▃▄▅▆▇█"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--station", required=True)
    station = parser.parse_args().station

    hours, days, months = defaultdict(list), defaultdict(list), defaultdict(list)
    count = 0
    with open(step.input_path("clean.csv"), newline="", encoding="utf-8") as file, open(
        step.artifact_path("series.csv"), "w", encoding="utf-8"
    ) as out:
        for time, name, text, _filled in csv.reader(file):
            if name != station:
                continue
            out.write(f"{station},{time},{text}\n")
            count += 1
            if text:
                value = float(text)
                hours[time[11:13]].append(value)
                days[time[:10]].append(value)
                months[time[:7]].append(value)
    if not days:
        raise SystemExit(f"no reading of station {station} in clean.csv")

    means = [fmean(values) for values in days.values() if len(values) >= ENOUGH_HOURS]
    above = sum(mean > DAILY_LIMIT for mean in means)
    mean = fmean(means)
    step.set_output("station", station)
    step.set_output("hours", count)
    step.set_output("mean", round(mean, 2))
    step.set_output("days_above_limit", above)

    print(f"{station}: {count} hours, mean {mean:.1f} µg/m³, {above} of {len(means)} days above {DAILY_LIMIT:.0f}")
    print(f"  by hour of day  {bars([fmean(hours[key]) for key in sorted(hours)])}")
    print(f"  by month        {bars([fmean(months[key]) for key in sorted(months)])}")


def bars(values):
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0
    return "".join(BARS[round((value - low) * scale)] for value in values) + f"  {low:.1f} to {high:.1f}"


if __name__ == "__main__":
    main()

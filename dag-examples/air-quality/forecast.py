"""Forecasts each station and writes it for programs (CSV) and for people (text)."""

import argparse
import json
import math
from datetime import timedelta

import model
import step

BARS = "▁▂▃▄▅▆▇█"
# Upper bounds of daily PM2.5 in µg/m³ (European air quality index, 2024).
BANDS = ((5, "good"), (15, "fair"), (50, "moderate"), (90, "poor"), (140, "very poor"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--horizon", type=int, required=True)
    horizon = parser.parse_args().horizon
    with open(step.input_path("model.json"), encoding="utf-8") as file:
        models = json.load(file)

    text, means = [], {}
    with open(step.artifact_path("forecast.csv"), "w", encoding="utf-8") as table:
        table.write("station,time,pm25,low,high\n")
        for path in step.input_list("series"):
            station, start, values = model.read_series(path)
            fitted = models[station]
            hours = forecast(fitted, start, values, horizon)
            means[station] = sum(value for _, value, _, _ in hours) / len(hours)
            table.writelines(
                f"{station},{time:%Y-%m-%dT%H:%M},{value:.2f},{low:.2f},{high:.2f}\n"
                for time, value, low, high in hours
            )
            if not text:
                text = heading(hours)
            text.append(line(station, fitted, hours, means[station]))

    worst = max(means, key=means.get)
    step.set_output("worst_station", worst)
    step.set_output("worst_mean", round(means[worst], 2))
    skill = sum(fitted["skill"] for fitted in models.values()) / len(models)
    text.append("")
    text.append(f"Highest: {worst}, {means[worst]:.1f} µg/m³ in the mean.")
    text.append(f"Mean error a day ahead, {skill:.0%} smaller than that of 'as yesterday'.")
    with open(step.artifact_path("forecast.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
    print("\n".join(text))


def forecast(fitted, start, values, horizon):
    """Hours with the middle value and the band that held eight of ten errors.

    Beyond a day its own forecast stands for the past; missing hours take the last known level.
    """
    known = values[:]
    for at, value in enumerate(known):
        if value is None:
            known[at] = known[at - 1] if at and known[at - 1] is not None else 0.0
    hours = []
    for at in range(len(values), len(values) + horizon):
        middle = model.predict(fitted["coefficients"], model.features(start, at, known))
        known.append(middle)
        # The band grows with the square root of the days ahead.
        days = math.sqrt(1 + (at - len(values)) // model.DAY)
        low, high = middle + days * fitted["low"], middle + days * fitted["high"]
        hours.append((start + timedelta(hours=at), math.exp(middle), math.exp(low), math.exp(high)))
    return hours


def heading(hours):
    first, last = hours[0][0], hours[-1][0]
    return [
        f"PM2.5 from {first:%a %d %b %H:%M} to {last:%a %d %b %H:%M} UTC, µg/m³",
        f"{'station':<10} {'by the hour':<{len(hours)}}  mean    80 % band  error  air",
    ]


def line(station, fitted, hours, mean):
    values = [value for _, value, _, _ in hours]
    low = sum(value for _, _, value, _ in hours) / len(hours)
    high = sum(value for _, _, _, value in hours) / len(hours)
    band = next((name for bound, name in BANDS if mean <= bound), "extremely poor")
    return (
        f"{station:<10} {bars(values):<11}  {mean:>4.1f} {low:>6.1f}–{high:<5.1f}"
        f" ±{fitted['mae']:<4.1f}  {band}"
    )


def bars(values):
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0
    return "".join(BARS[round((value - low) * scale)] for value in values)


if __name__ == "__main__":
    main()

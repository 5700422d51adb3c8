"""Makes hourly readings of five fine-dust sensors, with the faults that real ones have.

The air itself follows rush hours, weekends, winters and slow episodes that all stations share.
The sensors then lose readings, send some twice, stick, spike, answer -999, and one of them
reports milligrams for a week. The same seed gives the same file on every machine.
"""

import argparse
import math
import random
from datetime import datetime, timedelta, timezone

import step

START = datetime(2024, 1, 1, tzinfo=timezone.utc)
# Mean level in µg/m³, weight of traffic, weight of winter heating.
STATIONS = {
    "harbour": (13.0, 0.35, 0.20),
    "hillside": (7.0, 0.10, 0.35),
    "junction": (19.0, 0.60, 0.15),
    "park": (9.0, 0.20, 0.25),
    "school": (11.0, 0.40, 0.30),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()

    rows = measure(arguments.rows, random.Random(arguments.seed))
    with open(step.artifact_path("measurements.csv"), "w", encoding="utf-8") as file:
        file.write("time,station,pm25,unit,humidity\n")
        file.writelines(rows)
    step.set_output("rows", len(rows))
    step.set_output("stations", list(STATIONS))
    print(f"{len(rows)} readings of {len(STATIONS)} stations since {START:%Y-%m-%d}")


def measure(total, chance):
    """All rows of the file, about in order of time, as loggers upload them."""
    hours = -(-total // len(STATIONS))
    times = [(START + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M+00:00") for hour in range(hours)]
    weather = episodes(hours, chance)
    columns = [station_rows(name, times, weather, chance) for name in STATIONS]
    rows = [row for block in zip(*columns) for row in block][:total]
    for at in range(0, len(rows) - 40, 1000):  # a logger that uploads late
        window = rows[at : at + 40]
        chance.shuffle(window)
        rows[at : at + 40] = window
    return rows


def episodes(hours, chance):
    """Slow changes that all stations share (log level), and the humidity (0 to 1)."""
    level, damp, out = 0.0, 0.0, []
    for hour in range(hours):
        level = 0.985 * level + chance.gauss(0.0, 0.055)
        damp = 0.97 * damp + chance.gauss(0.0, 0.025)
        daily = 0.12 * math.cos(2 * math.pi * (hour % 24 - 5) / 24)
        out.append((level, min(0.96, max(0.25, 0.62 + daily + damp))))
    return out


def station_rows(name, times, weather, chance):
    """One row an hour; a reading that was lost is replaced by a repetition of an earlier one."""
    mean, traffic, heating = STATIONS[name]
    rows, local, stuck_left, stuck_value = [], 0.0, 0, ""
    for hour, (time, (shared, humidity)) in enumerate(zip(times, weather)):
        local = 0.9 * local + chance.gauss(0.0, 0.05)
        truth = mean * math.exp(traffic * rush(hour) + heating * winter(hour) + shared + local)
        reading = truth * (1 + swelling(humidity)) * math.exp(chance.gauss(0.0, 0.06))
        unit = "ug/m3"
        if name == "junction" and 4000 <= hour < 4168:
            value, unit = f"{reading / 1000:.5f}", "mg/m3"
        else:
            value = f"{reading:.2f}"

        dice = chance.random()
        if stuck_left:
            stuck_left, value = stuck_left - 1, stuck_value
        elif dice < 0.0004:
            stuck_left, stuck_value = chance.randint(8, 30), value
        elif dice < 0.003:
            value = "-999"
        elif dice < 0.005:
            value = f"{reading * chance.uniform(15, 40):.2f}"
        elif dice < 0.015:
            value = ""

        if rows and dice > 0.994:
            rows.append(rows[-1])
        else:
            rows.append(f"{time},{name},{value},{unit},{humidity:.3f}\n")
    return rows


def rush(hour):
    """Two traffic peaks on working days, a flat hump at weekends."""
    clock, day = hour % 24, (hour // 24) % 7
    if day >= 5:
        return 0.6 * math.exp(-((clock - 14) ** 2) / 30)
    return math.exp(-((clock - 8) ** 2) / 6) + 0.9 * math.exp(-((clock - 18) ** 2) / 8)


def winter(hour):
    """1 in mid-January, -1 in mid-July."""
    return math.cos(2 * math.pi * (hour / 24 - 15) / 365.25)


def swelling(humidity):
    """Damp particles grow, and an optical sensor takes them for more dust."""
    return 0.25 * humidity * humidity / (1 - 0.9 * humidity)


if __name__ == "__main__":
    main()

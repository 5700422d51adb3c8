"""The model: log concentration as a ridge regression on the clock, the season and the past.

Every feature of an hour is known a day ahead, so a forecast of 24 hours needs no guess. The
seasons need a year of hours or more.
"""

import csv
import math
from datetime import datetime, timedelta
from operator import mul

DAY, WEEK = 24, 168
RIDGE = 1.0


def read_series(path):
    """A station's name, its first hour, and its log values (none where there is no reading)."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    values = [math.log(max(float(text), 0.1)) if text else None for _, _, text in rows]
    return rows[0][0], datetime.fromisoformat(rows[0][1]), values


# The shape of a day: three harmonics, by hour of the clock.
CLOCK = [
    [wave(2 * math.pi * n * hour / 24) for n in (1, 2, 3) for wave in (math.sin, math.cos)]
    for hour in range(24)
]


def features(start, at, values):
    """Features of the hour `at`; none when the past they need is missing."""
    yesterday, last_week = values[at - DAY], values[at - WEEK]
    day_before = [value for value in values[at - 2 * DAY : at - DAY] if value is not None]
    if yesterday is None or last_week is None or not day_before:
        return None
    time = start + timedelta(hours=at)
    season = 2 * math.pi * time.timetuple().tm_yday / 365.25
    weekend = 1.0 if time.weekday() >= 5 else 0.0
    was_weekend = 1.0 if (time.weekday() - 1) % 7 >= 5 else 0.0
    daily = CLOCK[time.hour]
    row = [1.0, weekend, was_weekend, math.sin(season), math.cos(season)]
    row += daily
    row += [weekend * value for value in daily]
    row += [was_weekend * value for value in daily]
    row += [yesterday, last_week, sum(day_before) / len(day_before)]
    return row


def fit(rows, targets):
    """Coefficients by the normal equations."""
    columns = list(zip(*rows))
    size = len(columns)
    matrix = [[0.0] * size for _ in columns]
    for row in range(size):
        for column in range(row, size):
            value = sum(map(mul, columns[row], columns[column]))
            matrix[row][column] = matrix[column][row] = value
        matrix[row][row] += RIDGE
    return solve(matrix, [sum(map(mul, column, targets)) for column in columns])


def solve(matrix, right):
    """Gaussian elimination with pivoting."""
    size = len(right)
    table = [row[:] + [value] for row, value in zip(matrix, right)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(table[row][column]))
        table[column], table[pivot] = table[pivot], table[column]
        for row in range(column + 1, size):
            factor = table[row][column] / table[column][column]
            for place in range(column, size + 1):
                table[row][place] -= factor * table[column][place]
    out = [0.0] * size
    for row in reversed(range(size)):
        known = sum(table[row][place] * out[place] for place in range(row + 1, size))
        out[row] = (table[row][size] - known) / table[row][row]
    return out


def predict(coefficients, row):
    """The log value."""
    return sum(map(mul, coefficients, row))

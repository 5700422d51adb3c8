"""Fits a model for each station and measures it on eight weeks that it has not seen."""

import json
import math

import model
import step

HELD_BACK = 56 * model.DAY


def main():
    models = {}
    print("station      hours fitted    MAE   RMSE   bias   MAE of 'as yesterday'   skill")
    for path in step.input_list("series"):
        station, start, values = model.read_series(path)
        fitted = fit_station(start, values)
        models[station] = fitted
        print(
            f"{station:<12}{fitted['hours']:>13}{fitted['mae']:>7.2f}{fitted['rmse']:>7.2f}"
            f"{fitted['bias']:>+7.2f}{fitted['naive_mae']:>24.2f}{fitted['skill']:>8.0%}"
        )

    with open(step.artifact_path("model.json"), "w", encoding="utf-8") as file:
        json.dump(models, file, indent=1)
    for name in ("mae", "rmse", "skill"):
        mean = sum(fitted[name] for fitted in models.values()) / len(models)
        step.set_output(name, round(mean, 3))
    print(f"errors in µg/m³, one day ahead, over the last {HELD_BACK // model.DAY} days")


def fit_station(start, values):
    """Coefficients, figures of error, and the spread that the forecast's band needs."""
    split = len(values) - HELD_BACK
    usable = [
        (at, row)
        for at in range(model.WEEK, len(values))
        if values[at] is not None and (row := model.features(start, at, values)) is not None
    ]
    train = [(row, values[at]) for at, row in usable if at < split]
    coefficients = model.fit([row for row, _ in train], [target for _, target in train])

    tests = [(at, row) for at, row in usable if at >= split]
    logs = sorted(values[at] - model.predict(coefficients, row) for at, row in tests)
    errors = [math.exp(model.predict(coefficients, row)) - math.exp(values[at]) for at, row in tests]
    naive = [math.exp(values[at - model.DAY]) - math.exp(values[at]) for at, _ in tests]
    mae, naive_mae = mean_absolute(errors), mean_absolute(naive)
    return {
        "hours": len(train),
        "coefficients": coefficients,
        "mae": mae,
        "rmse": math.sqrt(sum(error * error for error in errors) / len(errors)),
        "bias": sum(errors) / len(errors),
        "naive_mae": naive_mae,
        "skill": 1 - mae / naive_mae,
        "low": logs[len(logs) // 10],
        "high": logs[len(logs) * 9 // 10],
    }


def mean_absolute(errors):
    return sum(map(abs, errors)) / len(errors)


if __name__ == "__main__":
    main()

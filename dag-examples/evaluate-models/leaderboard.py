"""Ranks the models by their mean rank over all metrics."""

import json
import os

LOWER_IS_BETTER = {"log_loss"}


def main():
    results = json.loads(os.environ["RESULTS"])
    values = {}
    for result in results:
        values.setdefault(result["metric"], {})[result["model"]] = float(result["value"])

    ranks = {}
    for metric, models in values.items():
        order = sorted(models, key=lambda model: models[model], reverse=metric not in LOWER_IS_BETTER)
        for place, model in enumerate(order, start=1):
            ranks.setdefault(model, []).append(place)
    board = sorted(ranks, key=lambda model: (sum(ranks[model]), model))

    lines = [
        "| place | model | " + " | ".join(values) + " | mean rank |",
        "| ---: | --- | " + "---: | " * (len(values) + 1),
    ]
    for place, model in enumerate(board, start=1):
        cells = " | ".join(f"{models[model]:.4f}" for models in values.values())
        mean = sum(ranks[model]) / len(ranks[model])
        lines.append(f"| {place} | {model} | {cells} | {mean:.2f} |")
    with open(os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "leaderboard.md"), "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"winner={board[0]}\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

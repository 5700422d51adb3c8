"""Compares how each step ended with how it should have; fails if one differs."""

import os

EXPECTED = {
    "third_time_lucky": "succeeded",
    "only_75": "failed",
    "not_my_class": "failed",
    "slow_then_quick": "succeeded",
    "silent": "failed",
    "four_of_five": "succeeded",
    "never_reached": "skipped",
}


def main():
    surprises = 0
    for step, expected in EXPECTED.items():
        ended = os.environ[step.upper()]
        surprises += ended != expected
        print(f"{step:<18}{ended:<11}{'' if ended == expected else 'expected ' + expected}".rstrip())
    if surprises:
        raise SystemExit(f"error: {surprises} steps ended otherwise than they should")


if __name__ == "__main__":
    main()

"""`python -m course_lib.experiments NAME …`: run experiments and write their tables."""

import argparse

from course_lib.experiments import EXPERIMENTS, run
from course_lib.results import RESULTS


def main() -> None:
    parser = argparse.ArgumentParser("python -m course_lib.experiments")
    parser.add_argument("name", choices=EXPERIMENTS, nargs="+")
    parser.add_argument("--processes", type=int, default=1, help="how many runs side by side")
    options = parser.parse_args()
    for experiment in options.name:
        for name, table in run(experiment, processes=options.processes).items():
            # only a finished table replaces the old one
            table.to_csv(RESULTS / f"{name}.csv", index=False)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""`--workers 1..4` beside fixed numbers of workers, in turn within one run: does a job lose by choosing for itself?

usage: workers.py DOLMEN [JOB ...] [--rounds N] [--folder DIR]
JOB: wide narrow (default: both)

  wide    6144x6144 times 6144x6144, blocks of 512: 144 blocks of the product, each a chain of its own.
  narrow  1000x64000 times 64000x1000, blocks of 1000: one block, a chain of 64 tasks.

All workers have one thread. Files are .npy, out of a warm page cache, results are left to it (`--no-sync`), seconds are
those of the report. One JSON line for each run, then a table: medians, and how much longer `1..4` takes than the best
fixed number.
"""
import argparse
import json
import os
import statistics

from harness import check_jobs, generate, run_dolmen, unwind_on_signals, work_folder

JOBS = {
    # name: (shapes of the factors, block)
    "wide": ([(6144, 6144), (6144, 6144)], 512),
    "narrow": ([(1000, 64000), (64000, 1000)], 1000),
}
FIXED = ["1", "2", "3", "4"]
ELASTIC = "1..4"


def measure(name, args):
    shapes, block = JOBS[name]
    factors = [f"{name}-{number}.npy" for number in range(len(shapes))]
    for seed, (file, shape) in enumerate(zip(factors, shapes)):
        generate(args.dolmen, os.path.join(args.folder, file), shape, seed + 1)
    product = [args.dolmen, "matmul", *factors, "--block", str(block), "--out", "product.npy", "--threads", "1", "--no-sync"]
    seconds = {workers: [] for workers in [*FIXED, ELASTIC]}
    for turn in range(args.rounds):
        for workers, all_seconds in seconds.items():
            report = run_dolmen([*product, "--workers", workers], args.folder).check().report
            all_seconds.append(report["seconds"])
            line = {"job": name, "workers": workers, "round": turn, "seconds": round(report["seconds"], 3), "most": report["workers"]}
            print(json.dumps(line), flush=True)
    return {workers: statistics.median(all_seconds) for workers, all_seconds in seconds.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dolmen")
    p.add_argument("jobs", nargs="*", metavar="JOB")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--folder", help="for the files; a temporary one if not given")
    args = p.parse_args()
    unwind_on_signals()
    args.dolmen = os.path.abspath(args.dolmen)
    check_jobs(p, args.jobs, JOBS)
    with work_folder(args.folder, "dolmen-workers-") as args.folder:
        results = {job: measure(job, args) for job in args.jobs or JOBS}
    print(f"\n{'job':10}" + "".join(f"{workers:>8}" for workers in [*FIXED, ELASTIC]) + f"{'1..4 / best fixed':>20}")
    for job, medians in results.items():
        best = min(medians[workers] for workers in FIXED)
        print(f"{job:10}" + "".join(f"{seconds:8.2f}" for seconds in medians.values()) + f"{medians[ELASTIC] / best:20.3f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Dolmen beside NumPy and Dask on the same files, in turn within one run: medians and their ratio.

usage: compare.py DOLMEN [JOB ...] [--rounds N] [--threads T] [--folder DIR]
JOB: matmul svd transpose-add rsvd (default: matmul svd)

Each job goes from .npy files to .npy files on both sides, out of a warm page cache, so that both pay for the same
reading and writing. A peer's time is that of the work alone, without starting Python and importing. `multiply alone` is
NumPy's product of matrices that are in memory already. One JSON line for each round and side, then a table.
"""
import argparse
import json
import os
import statistics
import sys

from harness import check_jobs, generate, peer_env, run, run_dolmen, unwind_on_signals, work_folder

JOBS = {
    # name: (inputs as (file, shape), dolmen's command, peers)
    "matmul": ([("a.npy", (8192, 8192)), ("b.npy", (8192, 8192))], ["matmul", "a.npy", "b.npy", "--out", "c.npy"],
               ["numpy", "numpy-multiply-alone"]),
    "svd": ([("tall.npy", (2000000, 100))], ["svd", "tall.npy", "--out", "svd"], ["dask-threads"]),
    "transpose-add": ([("square.npy", (16384, 16384))], ["transpose-add", "square.npy", "--out", "sum.npy"], ["numpy"]),
    "rsvd": ([("wide.npy", (100000, 4000))], ["rsvd", "wide.npy", "--rank", "20", "--out", "rsvd"],
             ["dask-threads", "scikit-learn"]),
}


def peer(name, job, threads):
    """Runs in a process of its own; prints the seconds."""
    import time

    import numpy as np

    began = None

    def start():
        nonlocal began
        began = time.perf_counter()

    if name.startswith("numpy"):
        start()
        if job == "matmul":
            a, b = np.load("a.npy"), np.load("b.npy")
            if name.endswith("alone"):
                start()
                a @ b
            else:
                np.save("c-peer.npy", a @ b)
        elif job == "transpose-add":
            a = np.load("square.npy")
            np.save("sum-peer.npy", a + a.T)
    elif name == "scikit-learn":
        from sklearn.utils.extmath import randomized_svd
        start()
        u, s, vt = randomized_svd(np.load("wide.npy"), 20, n_oversamples=10, n_iter=2, random_state=0)
        np.save("u-peer.npy", u)
    else:
        from multiprocessing.pool import ThreadPool

        import dask
        import dask.array as da
        dask.config.set(scheduler="threads", pool=ThreadPool(threads))
        start()
        if job == "svd":
            x = da.from_array(np.load("tall.npy", mmap_mode="r"), chunks=(100_000, 100))
            u, s, vt = dask.compute(*da.linalg.svd(x))
        else:
            x = da.from_array(np.load("wide.npy", mmap_mode="r"), chunks=(10_000, 4000))
            u, s, vt = dask.compute(*da.linalg.svd_compressed(x, 20, n_oversamples=10, n_power_iter=2, seed=0))
        np.save("u-peer.npy", u)
    print(time.perf_counter() - began)


def seconds_of_peer(name, job, args):
    env = peer_env(1 if name == "dask-threads" else args.threads)
    command = [sys.executable, os.path.abspath(__file__), "--peer", name, job, "--threads", str(args.threads)]
    return float(run(command, args.folder, env).check().stdout)


def seconds_of_dolmen(command, args):
    return run_dolmen([args.dolmen, *command, "--threads", str(args.threads)], args.folder).check().report["seconds"]


def measure(job, args):
    inputs, command, peers = JOBS[job]
    for seed, (file, shape) in enumerate(inputs):
        generate(args.dolmen, os.path.join(args.folder, file), shape, seed + 1)
    times = {}
    for turn in range(args.rounds):
        for side in ["dolmen", *peers]:
            seconds = seconds_of_dolmen(command, args) if side == "dolmen" else seconds_of_peer(side, job, args)
            times.setdefault(side, []).append(seconds)
            print(json.dumps({"job": job, "side": side, "round": turn, "seconds": round(seconds, 3)}), flush=True)
    return {side: statistics.median(all) for side, all in times.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dolmen")
    p.add_argument("jobs", nargs="*", metavar="JOB")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--folder", help="for the files; a temporary one if not given")
    args = p.parse_args()
    unwind_on_signals()
    args.dolmen = os.path.abspath(args.dolmen)
    check_jobs(p, args.jobs, JOBS)
    with work_folder(args.folder, "dolmen-compare-") as args.folder:
        results = {job: measure(job, args) for job in args.jobs or ["matmul", "svd"]}
    print(f"\n{'job':15} {'side':22} {'median s':>9} {'dolmen is faster by':>20}")
    for job, medians in results.items():
        for side, seconds in medians.items():
            print(f"{job:15} {side:22} {seconds:9.2f} {seconds / medians['dolmen']:20.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(sys.argv[2], sys.argv[3], int(sys.argv[5]))
    else:
        main()

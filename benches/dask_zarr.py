#!/usr/bin/env python3
"""Dask from Zarr with little memory: one job in a cluster of two worker processes; one JSON line with its seconds,
and with those until its results are synced to the disk, which Dask does not do by itself.

usage: dask_zarr.py make IN N CHUNK
       dask_zarr.py transpose-add|rsvd IN OUT LIMIT

`make` writes N x N normal doubles in uncompressed chunks. LIMIT is what one worker may take, like 1GiB. The seconds are those
of the computation with its output: starting Python, the cluster, and its end are not counted. The sum is not compressed either:
Dask's default would spend its time on doubles that do not become smaller.
"""
import json
import os
import shutil
import sys
import time


def make(path, n, chunk):
    import numpy as np
    import zarr

    array = zarr.create_array(store=path, shape=(n, n), chunks=(chunk, chunk), dtype="f8", compressors=None)
    random = np.random.default_rng(0)
    for row in range(0, n, chunk):
        array[row : row + chunk] = random.standard_normal((min(chunk, n - row), n))


def transpose_add(a, out):
    import dask.array as da

    da.to_zarr(a + a.T, out, compressors=None)


def rsvd(a, out):
    import dask
    import dask.array as da
    import numpy as np

    usv = dask.compute(*da.linalg.svd_compressed(a, 20, n_oversamples=10, n_power_iter=2, seed=0))
    os.makedirs(out)
    for name, matrix in zip(("u", "s", "vt"), usv, strict=True):
        np.save(os.path.join(out, f"{name}.npy"), matrix)


def sync(out):
    """Waits until the results are on the disk."""
    for folder, _, names in os.walk(out):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                os.fsync(file.fileno())


def work(job, path, out, limit):
    import dask.array as da
    from dask.distributed import Client, LocalCluster

    scratch = f"{out}.dask-scratch"
    try:
        with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=limit, dashboard_address=None,
                          local_directory=scratch) as cluster, Client(cluster):
            a = da.from_zarr(path)
            began = time.perf_counter()
            {"transpose-add": transpose_add, "rsvd": rsvd}[job](a, out)
            seconds = time.perf_counter() - began
            sync(out)
            print(json.dumps({"seconds": seconds, "synced_seconds": time.perf_counter() - began}), flush=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        work(*sys.argv[1:5])

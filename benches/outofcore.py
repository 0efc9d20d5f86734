#!/usr/bin/env python3
"""Dolmen with matrices larger than its memory: against the disk, against itself in memory, and beside Dask.

usage: outofcore.py DOLMEN [--dir DIR] [--only NAME[,NAME]] [--rounds N] [--scale S] [--json FILE] [--clean]

DOLMEN is a release binary. One JSON line for each run, then a table; the exit code is 1 if a bound is missed. What is compared
runs in turn, N times, and medians are compared (of memory and bytes the largest). What this machine cannot do is left out with
"SKIPPED: what (why)".

Cold, with 1 GiB in a memory cgroup of 1.25 GiB that page cache counts into, caches dropped before each run. Dolmen's seconds are
those of the process, with its start, the sync of its results and its end.

  transpose-add  24576² f64. `disk` is the sum of reading and of writing these bytes, measured before each round and after the
                 last in the same folder (direct, sequential, 8 MiB, 4 requests in flight; the input itself is read, a
                 fresh file is written).
  rsvd           100000x8000 f64, rank 20, 2 power iterations. `disk` is that for the bytes that the report says. `compute` is
                 the same command out of a warm page cache, outside of the cgroup, with memory for all of A: one copy of A out
                 of the page cache is in it, further passes are over memory.
  svd            8000000x100 f64 with U. `compute` is 8 times the seconds of an eighth of the rows, from tmpfs to tmpfs: its work
                 is proportional to the rows, and all of A and U would not fit into memory beside each other.
  matmul         two of 16384² f64. The bytes against the lower bound 8·(2mnk/√M + mn), M being the memory in words, or
                 the three matrices if that is more; the seconds against those with 14 GiB outside of the cgroup, inputs warm.

Warm, beside Dask (2 processes of 1 thread and 1 GiB each; Dolmen: 2 workers of 1 thread in one process, 2 GiB in all), from the
same Zarr array of 24576² f64 in uncompressed chunks of 2048², which is read once before each run:

  zarr-transpose-add   Zarr to Zarr.
  zarr-rsvd            rank 20, 2 power iterations, U, S and V to .npy files by both.

Dask's seconds are those of the computation alone, without starting Python and the cluster; Dolmen's those of the process. Dask
leaves its results to the page cache: the bound is on the comparison with `dolmen --no-sync`, which does the same. As the default
of Dolmen is to wait until results are on the disk, a second run of it is compared with Dask's seconds with a sync of its results.

  spill          examples/spill: a product of random doubles, one of small integers, and the MNIST images as doubles.

--scale S makes matrices of S times the bytes, and the memory as much smaller (an eighth at the least; that beside Dask is not
changed): for trying the script out, the figures mean nothing. Inputs stay in DIR (outofcore-*, at most 25 GB with what a job
writes) unless --clean is given; results are removed after each run.
"""
import argparse
import contextlib
import json
import math
import os
import re
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass

import machine
from harness import generate, last_line, peer_env, run, run_dolmen, unwind_on_signals
from machine import MemoryGroup, Unavailable

MIB, GIB = 1 << 20, 1 << 30
# What the cgroup has beyond --memory, for page cache and code; and how much of it the process may take.
GROUP_HEADROOM, RSS_HEADROOM = 256 * MIB, 200 * MIB
IN_MEMORY = "14GiB"
FOLDER_LIMIT = 25 * 10**9
F64 = 8
SVD_SAMPLE = 8
ZARR_CHUNK = 2048
PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dask_zarr.py")
# The MNIST images where the developers have them; elsewhere DOLMEN_MNIST names them.
MNIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "data", "mnist_train_u8.npy")


@dataclass(frozen=True)
class Line:
    """A row of the table: `measured` may be `bound` at most, or at least if `least`; without a bound it is only told."""

    job: str
    figure: str
    measured: float
    unit: str = ""
    bound: float | None = None
    least: bool = False

    def passed(self):
        if self.bound is None:
            return None
        return self.measured >= self.bound if self.least else self.measured <= self.bound

    def row(self):
        bound = "" if self.bound is None else f"{'≥' if self.least else '≤'} {text(self.bound, self.unit)}"
        ratio = f"{self.measured / self.bound:.2f}" if self.bound else ""
        verdict = {None: "", True: "pass", False: "**fail**"}[self.passed()]
        return f"| {self.job} | {self.figure} | {text(self.measured, self.unit)} | {bound} | {ratio} | {verdict} |"


def text(value, unit):
    if unit == "B":
        return f"{value / 1e9:.3f} GB"
    return f"{value:.2f} {unit}".rstrip() if isinstance(value, float) else f"{value} {unit}".rstrip()


class Bench:
    """The options, and what has been found so far."""

    def __init__(self, args):
        self.dolmen, self.folder = os.path.abspath(args.dolmen), os.path.abspath(args.dir)
        self.scale, self.rounds = args.scale, range(args.rounds)
        self.memory = int(max(args.scale, 1 / 8) * GIB)
        self.lines, self.runs, self.skipped = [], [], []

    def side(self, n):
        return round(n * math.sqrt(self.scale))

    def skip(self, what, why):
        word = f"SKIPPED: {what} ({why})"
        if word not in self.skipped:
            print(word, file=sys.stderr, flush=True)
            self.skipped.append(word)

    def line(self, *values, **named):
        self.lines.append(Line(*values, **named))

    def record(self, job, side, turn, seconds, **figures):
        figures = {"job": job, "side": side, "round": turn, "seconds": round(seconds, 3), **figures}
        print(json.dumps(figures), flush=True)
        self.runs.append(figures)

    def record_run(self, job, side, turn, done):
        group = {"oom_kills": done.oom_kills, "limit_hits": done.limit_hits, "group_peak": done.group_peak}
        in_group = {name: count for name, count in group.items() if count is not None}
        self.record(job, side, turn, done.seconds, peak_rss=done.peak_rss, **in_group, report=done.report)
        if done.oom_kills:
            raise RuntimeError(f"the cgroup killed it, as it took more than {text(self.memory + GROUP_HEADROOM, 'B')}")
        done.check()
        if done.report["peak_memory_bytes"] > done.report["memory_bound_bytes"]:
            raise RuntimeError("more memory was held than the bound that was proven")
        return done

    @contextlib.contextmanager
    def results(self):
        """A folder for what one run writes, on the same file system as the inputs."""
        with tempfile.TemporaryDirectory(prefix="outofcore-results-", dir=self.folder, ignore_cleanup_errors=True) as place:
            yield place

    def inputs(self, shapes, written):
        """The paths of matrices of these shapes, made if they are not there; there is room for `written` bytes beside them."""
        paths = [os.path.join(self.folder, f"outofcore-{m}x{n}-{i}.npy") for i, (m, n) in enumerate(shapes)]
        self.make_room({path: m * n * F64 for path, (m, n) in zip(paths, shapes, strict=True)}, written)
        for seed, (path, shape) in enumerate(zip(paths, shapes, strict=True), 1):
            generate(self.dolmen, path, shape, seed)
        return paths

    def make_room(self, sizes, written):
        """Removes inputs of other jobs, oldest first, until what is to come fits into the limit and onto the disk."""
        others = [path for path in self.kept() if path not in sizes]
        to_come = sum(size for path, size in sizes.items() if not os.path.exists(path)) + written

        def on_disk():
            return to_come <= shutil.disk_usage(self.folder).free

        while others and not (on_disk() and bytes_of(self.kept()) + to_come <= FOLDER_LIMIT):
            remove(others.pop(0))
        if not on_disk():
            raise Unavailable(f"{to_come / 1e9:.1f} GB are not free in {self.folder}; choose another --dir")

    def kept(self):
        names = [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.startswith("outofcore-")]
        return sorted(names, key=os.path.getmtime)


def bytes_of(paths):
    return sum(os.path.getsize(path) for path in machine.files_below(paths))


def remove(path):
    shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def median(values):
    return float(statistics.median(values))


# --- cold, in a cgroup ------------------------------------------------------------------------------------------------


def limited(bench, job, turn, words, inputs):
    """A cold run with little memory in a cgroup of little more."""
    words = [bench.dolmen, *words, "--memory", f"{bench.memory // MIB}MiB"]
    machine.chill(inputs)
    try:
        with MemoryGroup(bench.memory + GROUP_HEADROOM) as group:
            done = run_dolmen(words, bench.folder, group.wrap)
            done.oom_kills, done.limit_hits, done.group_peak = group.oom_kills(), group.limit_hits(), group.peak()
    except Unavailable as why:
        bench.skip("the memory cgroup: runs are outside of one", why)
        done = run_dolmen(words, bench.folder)
    return bench.record_run(job, "limited", turn, done)


def unlimited_seconds(bench, job, side, turn, words, inputs):
    """A warm run with memory for everything, outside of the cgroup."""
    needed = 2 * bytes_of(inputs) + GIB  # in the page cache and in blocks
    if machine.memory_available() < needed:
        raise Unavailable(f"{needed / 1e9:.1f} GB of memory are not free")
    machine.warm(inputs)
    words = [bench.dolmen, *words, "--memory", IN_MEMORY]
    return bench.record_run(job, side, turn, run_dolmen(words, bench.folder)).seconds


def memory_lines(bench, job, runs, budget):
    if runs[0].oom_kills is not None:
        bench.line(job, "kills by the cgroup", max(r.oom_kills for r in runs), bound=0)
        if runs[0].group_peak is not None:
            bench.line(job, "peak of the cgroup, page cache included", max(r.group_peak for r in runs), "B")
    bench.line(job, "peak RSS", max(r.peak_rss for r in runs), "B", budget + RSS_HEADROOM)
    reports = [r.report for r in runs]
    worst = max(reports, key=lambda r: r["peak_memory_bytes"] / r["memory_bound_bytes"])
    bench.line(job, "peak of blocks and workspace", worst["peak_memory_bytes"], "B", worst["memory_bound_bytes"])
    bench.line(job, "their proven bound", max(r["memory_bound_bytes"] for r in reports), "B", budget)


@dataclass(frozen=True)
class Disk:
    """Seconds for each byte read and written."""

    read: float
    write: float

    def seconds(self, report):
        return self.read * report["bytes_read"] + self.write * report["bytes_written"]


def disk(bench, job, turn, path, written):
    """The disk's speed in reading `path` and in writing `written` bytes, or nothing where it cannot be measured."""
    machine.chill([path])
    try:
        size = os.path.getsize(path)
        with bench.results() as place:
            speed = Disk(machine.disk_read_seconds(path) / size, machine.disk_write_seconds(place, written) / written)
    except Unavailable as why:
        bench.skip(f"{job}: seconds against the disk", why)
        return None
    rates = {"read_gb_s": round(1e-9 / speed.read, 3), "write_gb_s": round(1e-9 / speed.write, 3)}
    bench.record(job, "disk", turn, speed.read * size + speed.write * written, **rates)
    return speed


def disk_bound(bench, job, runs, disks, factor, compute=0.0):
    """A line for the seconds of `runs` against `factor` times those of the disk, or of computing if these are more."""
    if None in disks:
        return
    seconds = median(each.seconds(runs[0].report) for each in disks)
    bench.line(job, "disk alone", seconds, "s")
    if compute:
        bench.line(job, "compute alone", compute, "s")
    of = "max(disk, compute)" if compute else "disk"
    bench.line(job, f"seconds (≤ {factor}·{of})", median(r.seconds for r in runs), "s", factor * max(seconds, compute))


def transpose_add(bench, job):
    n = bench.side(24576)
    size = n * n * F64
    [a] = bench.inputs([(n, n)], size)
    runs, disks = [], []
    for turn in bench.rounds:
        disks.append(disk(bench, job, turn, a, size))
        with bench.results() as place:
            runs.append(limited(bench, job, turn, ["transpose-add", a, "--out", f"{place}/sum.npy"], [a]))
    disks.append(disk(bench, job, len(bench.rounds), a, size))
    memory_lines(bench, job, runs, bench.memory)
    bench.line(job, "bytes read and written", max(moved(r) for r in runs), "B", int(1.02 * 2 * size))
    disk_bound(bench, job, runs, disks, 1.5)


def rsvd(bench, job):
    shape = bench.side(100_000), bench.side(8000)
    written = sum(shape) * 20 * F64
    [a] = bench.inputs([shape], written)
    runs, disks, computing = [], [], []
    for turn in bench.rounds:
        disks.append(disk(bench, job, turn, a, written))
        with bench.results() as place:
            words = ["rsvd", a, "--rank", "20", "--power-iters", "2", "--out", place]
            runs.append(limited(bench, job, turn, words, [a]))
            computing.append(compute_seconds(unlimited_seconds, bench, job, "compute", turn, words, [a]))
    disks.append(disk(bench, job, len(bench.rounds), a, written))
    read_lines(bench, job, runs, a, 1.02 * 4)
    disk_bound(bench, job, runs, disks, 1.3, median(computing))


def svd(bench, job):
    shape = round(8_000_000 * bench.scale), 100
    written = shape[0] * shape[1] * F64
    [a] = bench.inputs([shape], written)
    runs, disks, computing = [], [], []
    for turn in bench.rounds:
        disks.append(disk(bench, job, turn, a, written))
        with bench.results() as place:
            runs.append(limited(bench, job, turn, ["svd", a, "--out", place], [a]))
        computing.append(compute_seconds(svd_seconds, bench, job, turn, shape))
    disks.append(disk(bench, job, len(bench.rounds), a, written))
    read_lines(bench, job, runs, a, 2.02)
    disk_bound(bench, job, runs, disks, 1.3, median(computing))


def svd_seconds(bench, job, turn, shape):
    rows, columns = shape[0] // SVD_SAMPLE, shape[1]
    needed = 2 * rows * columns * F64 + GIB
    if not os.path.isdir("/dev/shm") or shutil.disk_usage("/dev/shm").free < needed:
        raise Unavailable(f"{needed / 1e9:.1f} GB are not free in /dev/shm")
    with tempfile.TemporaryDirectory(prefix="outofcore-", dir="/dev/shm") as place:
        part = os.path.join(place, "part.npy")
        generate(bench.dolmen, part, (rows, columns), seed=1)
        side = f"1/{SVD_SAMPLE} of compute"
        return SVD_SAMPLE * unlimited_seconds(bench, job, side, turn, ["svd", part, "--out", place], [part])


def compute_seconds(measure, bench, job, *rest):
    """What `measure` returns, or zero where it cannot be measured: a bound is then the disk's alone, and harder."""
    try:
        return measure(bench, job, *rest)
    except Unavailable as why:
        bench.skip(f"{job}: seconds without a limit of memory", why)
        return 0.0


def read_lines(bench, job, runs, path, times):
    memory_lines(bench, job, runs, bench.memory)
    size = bytes_of([path])
    bench.line(job, f"bytes read (≤ {times:.2f}·A)", max(r.report["bytes_read"] for r in runs), "B", int(times * size))


def moved(done):
    return done.report["bytes_read"] + done.report["bytes_written"]


def matmul(bench, job):
    n = bench.side(16384)
    size = n * n * F64
    a, b = bench.inputs([(n, n), (n, n)], size)
    runs, in_memory = [], []
    for turn in bench.rounds:
        with bench.results() as place:
            words = ["matmul", a, b, "--out", f"{place}/c.npy"]
            runs.append(limited(bench, job, turn, words, [a, b]))
        with bench.results() as place:
            words = ["matmul", a, b, "--out", f"{place}/c.npy"]
            in_memory.append(compute_seconds(unlimited_seconds, bench, job, "in memory", turn, words, [a, b]))
    memory_lines(bench, job, runs, bench.memory)
    least = max(F64 * (2 * n**3 / math.sqrt(bench.memory / F64) + n * n), 3 * size)
    bench.line(job, "bytes read and written (≤ 1.5·lower bound)", max(moved(r) for r in runs), "B", int(1.5 * least))
    if all(in_memory):
        bench.line(job, "seconds (≤ 1.2·in memory)", median(r.seconds for r in runs), "s", 1.2 * median(in_memory))


# --- warm, beside Dask ------------------------------------------------------------------------------------------------


def zarr_input(bench):
    n = bench.side(24576)
    path = os.path.join(bench.folder, f"outofcore-{n}.zarr")
    # The results of both sides are removed after each run, but the chunks at the edges are whole.
    size = (math.ceil(n / ZARR_CHUNK) * ZARR_CHUNK) ** 2 * F64
    bench.make_room({path: size}, size)
    if not os.path.exists(path):
        with bench.results() as place:
            part = os.path.join(place, "part.zarr")
            run([sys.executable, PEER, "make", part, str(n), str(ZARR_CHUNK)], bench.folder, peer_env(1)).check()
            os.rename(part, path)
    return path


def dask_figures(bench, job, turn, path, out):
    done = run([sys.executable, PEER, job.removeprefix("zarr-"), path, out, "1GiB"], bench.folder, peer_env(1))
    if done.code != 0:
        raise Unavailable(f"Dask failed: {last_line(done.stderr)}")
    figures = json.loads(last_line(done.stdout))
    bench.record(job, "dask", turn, synced_seconds=figures["synced_seconds"], seconds=figures["seconds"])
    return figures


def beside_dask(bench, job, words, out, wanted):
    missing = run([sys.executable, "-c", "import dask.distributed, zarr"], bench.folder, peer_env(1))
    if missing.code != 0:
        raise Unavailable(f"{last_line(missing.stderr)}; make peers")
    path = zarr_input(bench)
    runs, synced_runs, dask = [], [], []

    def ours(side, flags, turn, target):
        full = [bench.dolmen, *words, path, "--out", target, *flags]
        full += ["--workers", "2", "--threads", "1", "--memory", "2GiB"]
        return bench.record_run(job, side, turn, run_dolmen(full, bench.folder))

    sides = [
        lambda turn, target: runs.append(ours("dolmen", ["--no-sync"], turn, target)),
        lambda turn, target: synced_runs.append(ours("dolmen, synced", [], turn, target)),
        lambda turn, target: dask.append(dask_figures(bench, job, turn, path, target)),
    ]
    for turn in bench.rounds:
        # Each is first in some round, since disks have moods.
        for side in sides[turn % 3 :] + sides[: turn % 3]:
            # Writes back what the page cache has of the one before, too.
            machine.warm([path])
            with bench.results() as place:
                side(turn, os.path.join(place, out))
    unsynced, ours_synced = (median(r.seconds for r in all) for all in (runs, synced_runs))
    theirs, synced = (median(figures[name] for figures in dask) for name in ("seconds", "synced_seconds"))
    bench.line(job, "Dask, seconds", theirs, "s")
    bench.line(job, "Dolmen, seconds", unsynced, "s")
    bench.line(job, "times faster", theirs / unsynced, bound=float(wanted), least=True)
    bench.line(job, "Dask, results synced, seconds", synced, "s")
    bench.line(job, "Dolmen, results synced, seconds", ours_synced, "s")
    bench.line(job, "times faster, both synced", synced / ours_synced)
    bench.line(job, "times faster, only Dolmen synced", theirs / ours_synced)
    memory_lines(bench, job, runs + synced_runs, 2 * GIB)


def zarr_transpose_add(bench, job):
    beside_dask(bench, job, ["transpose-add"], "sum.zarr", 3)


def zarr_rsvd(bench, job):
    beside_dask(bench, job, ["rsvd", "--rank", "20", "--power-iters", "2"], "results", 6)


# --- spilling ---------------------------------------------------------------------------------------------------------


def spill(bench, job):
    """Runs `examples/spill` on random doubles and on integers stored as doubles, of which 3 times fewer bytes are wanted."""
    program = os.path.join(os.path.dirname(bench.dolmen), "examples", "spill")
    if not os.path.exists(program):
        raise Unavailable(f"{program} is not there: cargo build --release --example spill")
    kinds = ["doubles", "integers"]
    images = os.environ.get("DOLMEN_MNIST", MNIST)
    if os.path.exists(images):
        kinds.append(os.path.abspath(images))
    for kind in kinds:
        runs = [run([program, kind], bench.folder) for _ in bench.rounds]
        found = [re.search(r"([0-9]+) MB spilled in ([0-9]+) MB on disk", r.stdout) for r in runs]
        if not all(found):
            raise RuntimeError(f"spill {kind}: {last_line(runs[0].stderr)}")
        ratio = median(int(f[1]) / max(int(f[2]), 1) for f in found)
        name = os.path.basename(kind)
        bench.line(job, f"{name}: seconds", median(r.seconds for r in runs), "s")
        bench.line(job, f"{name}: bytes spilled, of those on disk", ratio, bound=None if kind == "doubles" else 3.0, least=True)


# --- all together -----------------------------------------------------------------------------------------------------

JOBS = {
    "transpose-add": transpose_add,
    "rsvd": rsvd,
    "svd": svd,
    "matmul": matmul,
    "zarr-transpose-add": zarr_transpose_add,
    "zarr-rsvd": zarr_rsvd,
    "spill": spill,
}


def measure(bench, names):
    for job in names:
        try:
            JOBS[job](bench, job)
        except Unavailable as why:
            bench.skip(job, why)
        except RuntimeError as error:
            bench.line(job, f"failed runs: {error}", 1, bound=0)


def show(bench, file):
    scaled = f"SCALED by {bench.scale}: the figures mean nothing.\n" if bench.scale != 1 else ""
    print(f"\n{scaled}\n| job | figure | measured | bound | measured / bound | |\n|---|---|--:|--:|--:|---|")
    print("\n".join(line.row() for line in bench.lines))
    print("\n".join(["", *bench.skipped, scaled]), end="")
    if file:
        lines = [{**vars(line), "passed": line.passed()} for line in bench.lines]
        found = {"scale": bench.scale, "memory": bench.memory, "lines": lines, "runs": bench.runs, "skipped": bench.skipped}
        with open(file, "w") as out:
            json.dump(found, out, indent=1)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dolmen")
    p.add_argument("--dir", default="target/bench-data", help="for the files; not a tmpfs (default: %(default)s)")
    p.add_argument("--only", metavar="NAME[,NAME]", default=",".join(JOBS), help="default: %(default)s")
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--scale", type=float, default=1)
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--clean", action="store_true", help="remove the inputs at the end")
    args = p.parse_args()
    if not shutil.which(args.dolmen):
        p.error(f"no program {args.dolmen}: cargo build --release makes target/release/dolmen")
    args.only = args.only.split(",")
    wrong = [name for name in args.only if name not in JOBS]
    if wrong:
        p.error(f"no such job: {wrong[0]}; there are {', '.join(JOBS)}")
    if args.rounds < 1 or not 0 < args.scale <= 1:
        p.error("--rounds must be 1 or more, --scale more than 0 and at most 1")
    return args


def main():
    args = arguments()
    unwind_on_signals()
    os.makedirs(args.dir, exist_ok=True)
    bench = Bench(args)
    if bench.scale != 1:
        print(f"SCALED by {bench.scale}: the figures mean nothing.", file=sys.stderr, flush=True)
    try:
        measure(bench, args.only)
    finally:
        if args.clean:
            for path in bench.kept():
                remove(path)
    show(bench, args.json)
    return any(line.passed() is False for line in bench.lines)


if __name__ == "__main__":
    sys.exit(main())

"""What the out-of-core benchmark asks of the machine: a memory cgroup, the page cache, and how fast the disk is."""
import json
import mmap
import os
import shutil
import signal
import threading
import time

from harness import run

CHUNK = 8 << 20
# Requests in flight: one alone does not fill this kind of device, so a bound from one would be too easy.
DEPTH = 4
SECTOR = 4096


class Unavailable(Exception):
    """The machine does not have it, or does not let us; the message says which."""


# --- memory cgroups ---------------------------------------------------------------------------------------------------

VERSIONS = {
    # fstype: files of (limit, swap, events)
    "cgroup": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.oom_control"),
    "cgroup2": ("memory.max", "memory.swap.max", "memory.events"),
}


def own_groups():
    """(version, path) of the memory cgroup that this process is in and of those around it, innermost first."""
    with open("/proc/self/cgroup") as file:
        names = {tuple(controllers.split(",")): name for _, controllers, name in (x.rstrip().split(":", 2) for x in file)}
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, after = line.split(" - ", 1)
            version, _, options = after.split()[:3]
            mount = before.split()[4]
            if version == "cgroup" and "memory" not in options.split(",") or version not in VERSIONS:
                continue
            name = next((n for c, n in names.items() if ("memory" if version == "cgroup" else "") in c), "/")
            path = os.path.join(mount, name.lstrip("/")).rstrip("/")
            while path.startswith(mount):
                yield version, path
                path = os.path.dirname(path)


class MemoryGroup:
    """A memory cgroup of `limit` bytes without swap, page cache included, for as long as the `with` lasts.

    It is made in the innermost group around this process that takes it, so whatever limits hold here hold there too."""

    def __init__(self, limit):
        self.limit = limit

    def __enter__(self):
        reasons = []
        for self.version, around in own_groups():
            self.path = os.path.join(around, f"dolmen-outofcore-{os.getpid()}")
            try:
                os.mkdir(self.path)
                self.set_limit()
                return self
            except OSError as error:
                reasons.append(f"{error.strerror}: {error.filename}")
                self.remove_empty()
            except BaseException:
                self.remove_empty()
                raise
        raise Unavailable(reasons[0] if reasons else "no memory cgroups are mounted")

    def set_limit(self):
        limit, swap, _ = VERSIONS[self.version]
        # Files of a cgroup cannot be made: "r+" fails where "w" would be refused with a misleading word.
        with open(os.path.join(self.path, limit), "r+") as file:
            file.write(str(self.limit))
        swap = os.path.join(self.path, swap)
        if os.path.exists(swap):
            with open(swap, "r+") as file:
                file.write("0" if self.version == "cgroup2" else str(self.limit))

    def remove_empty(self):
        if os.path.isdir(self.path):
            os.rmdir(self.path)

    def wrap(self, words):
        """A command that enters the group and then becomes the given one."""
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', os.path.join(self.path, "cgroup.procs"), *words]

    def events(self):
        with open(os.path.join(self.path, VERSIONS[self.version][2])) as file:
            return {name: int(count) for name, count in (line.split() for line in file)}

    def oom_kills(self):
        return self.events().get("oom_kill", 0)

    def limit_hits(self):
        """How often memory had to be reclaimed to stay within the limit; new kernels count this for version 2 only."""
        return self.events()["max"] if self.version == "cgroup2" else read_int(os.path.join(self.path, "memory.failcnt"))

    def peak(self):
        """The most bytes there were, page cache included, or nothing from kernels that do not tell."""
        path = os.path.join(self.path, "memory.peak" if self.version == "cgroup2" else "memory.max_usage_in_bytes")
        return read_int(path) if os.path.exists(path) else None

    def __exit__(self, *_):
        """What is in the group was started here; a directory that still drains is tried again for a while."""
        for _ in range(100):
            with open(os.path.join(self.path, "cgroup.procs")) as file:
                for process in file.read().split():
                    os.kill(int(process), signal.SIGKILL)
            try:
                return os.rmdir(self.path)
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"cannot remove the cgroup {self.path}")


def read_int(path):
    with open(path) as file:
        return int(file.read())


# --- the page cache ---------------------------------------------------------------------------------------------------


def chill(paths):
    """Empties the page cache, or at least takes these files out of it."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3")
    except OSError:
        for path in files_below(paths):
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm(paths):
    """Reads these files once, and writes back what is dirty, so that no run pays for the one before."""
    os.sync()
    buffer = bytearray(CHUNK)
    for path in files_below(paths):
        with open(path, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def files_below(paths):
    for path in paths:
        if os.path.isdir(path):
            yield from (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
        else:
            yield path


def memory_available():
    """Bytes that can be had without swapping."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))


# --- the disk ---------------------------------------------------------------------------------------------------------


def disk_read_seconds(path):
    """Seconds for reading this file: direct and sequential."""
    return disk_seconds(path, "read", os.path.getsize(path))


def disk_write_seconds(folder, size):
    """Seconds for writing `size` bytes into a fresh file: direct, sequential, synced; the file is removed."""
    path = os.path.join(folder, f"disk-{os.getpid()}.tmp")
    try:
        return disk_seconds(path, "write", size)
    finally:
        if os.path.exists(path):
            os.remove(path)


def disk_seconds(path, way, size):
    whole = max(size // CHUNK, 1) * CHUNK if way == "write" else size // SECTOR * SECTOR
    measure = fio if shutil.which("fio") else own_direct
    return measure(path, way, whole) * size / whole


def fio(path, way, size):
    words = ["fio", "--name=disk", f"--filename={os.path.basename(path)}", f"--rw={way}", f"--bs={CHUNK}", f"--size={size}",
             "--direct=1", "--ioengine=libaio", f"--iodepth={DEPTH}", "--end_fsync=1", "--output-format=json",
             # As dolmen does it: a file of full length whose blocks are found while writing.
             "--fallocate=truncate", *(["--readonly"] if way == "read" else [])]
    done = run(words, os.path.dirname(path))
    if done.code != 0:
        raise Unavailable(f"fio: {done.stderr.strip() or done.stdout.strip()}")
    figures = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    # Only whole blocks are moved; the job's time includes the sync at the end, which that of the writing does not.
    return figures["job_runtime"] / 1000 * size / figures[way]["io_bytes"]


def own_direct(path, way, size):
    """The same in Python: `DEPTH` threads take turns with the blocks."""
    flags = os.O_RDONLY if way == "read" else os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        file = os.open(path, flags | os.O_DIRECT)
    except OSError as error:
        raise Unavailable(f"direct I/O: {error.strerror}") from error
    failures = []

    def turns(first):
        buffer = mmap.mmap(-1, CHUNK)  # page-aligned, as direct I/O wants it
        if way == "write":
            buffer.write(os.urandom(CHUNK))
        move = os.preadv if way == "read" else os.pwritev
        try:
            for offset in range(first * CHUNK, size, DEPTH * CHUNK):
                move(file, [memoryview(buffer)[: min(CHUNK, size - offset)]], offset)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=turns, args=(first,)) for first in range(DEPTH)]
    began = time.perf_counter()
    try:
        if way == "write":
            os.ftruncate(file, size)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.fsync(file)
    finally:
        os.close(file)
    if failures:
        raise Unavailable(f"direct I/O: {failures[0].strerror}")
    return time.perf_counter() - began

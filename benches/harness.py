"""What the benchmark scripts share: child processes that never outlive the script, dolmen with its report, inputs."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Set for old builds of OpenBLAS on some machines; they make the one in a current NumPy choose a slower kernel.
FOR_OLD_OPENBLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
GENERATOR_MEMORY = "1GiB"


@dataclass
class Run:
    """A finished child: `seconds` from before it was started until it was gone, `peak_rss` in bytes (the largest of its
    execs), `report` is what dolmen wrote; the last three are those of the cgroup it ran in, if it ran in one."""

    code: int
    seconds: float
    peak_rss: int
    stdout: str
    stderr: str
    report: dict = field(default_factory=dict)
    oom_kills: int | None = None
    limit_hits: int | None = None
    group_peak: int | None = None

    def check(self):
        if self.code != 0:
            raise RuntimeError(f"exit code {self.code}: {last_line(self.stderr)}")
        return self


def last_line(text):
    return (text.strip().splitlines() or ["no word"])[-1]


def unwind_on_signals():
    """Makes the first SIGINT, SIGTERM or SIGHUP an exception, so that every `finally` runs; later ones do not disturb them."""

    def unwind(number, _frame):
        for each in STOPPING:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in STOPPING:
        signal.signal(each, unwind)


def run(words, folder, env=None):
    """Runs a command to its end. It has a process group of its own, which is ended if this process has to stop."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        child = subprocess.Popen(words, cwd=folder, env=env, stdout=out, stderr=err, start_new_session=True)
        try:
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if child.returncode is None:
                end_group(child)
        out.seek(0)
        err.seek(0)
        return Run(child.returncode, seconds, usage.ru_maxrss * 1024, out.read(), err.read())


def end_group(child):
    """Asks first, since dolmen and Dask remove their files when asked."""
    for number, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 20)):
        try:
            os.killpg(child.pid, number)
            child.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def run_dolmen(words, folder, wrap=lambda words: words):
    """Runs dolmen quietly; `wrap` changes the command line, for instance to enter a cgroup."""
    with tempfile.TemporaryDirectory(prefix="dolmen-report-") as place:
        file = os.path.join(place, "report.json")
        done = run(wrap([*words, "--quiet", "--report", file]), folder)
        if os.path.exists(file):
            with open(file) as report:
                done.report = json.load(report)
        return done


def generate(dolmen, path, shape, seed):
    """Makes the f64 matrix of normal numbers at `path` unless it is there; `shape` is (rows, columns)."""
    if not os.path.exists(path):
        size = f"{shape[0]}x{shape[1]}"
        make = [dolmen, "generate", "normal", "--shape", size, "--seed", str(seed), "--out", path]
        run([*make, "--memory", GENERATOR_MEMORY, "--quiet"], os.path.dirname(path)).check()


def check_jobs(parser, asked, known):
    """Ends the script if there is no such job."""
    for job in asked:
        if job not in known:
            parser.error(f"no such job: {job}; there are {', '.join(known)}")


@contextlib.contextmanager
def work_folder(given, prefix):
    """The folder that was given, or a temporary one that goes."""
    if given is not None:
        yield os.path.abspath(given)
        return
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        yield folder


def peer_env(blas_threads):
    """The environment of a Python peer."""
    env = {name: value for name, value in os.environ.items() if name not in FOR_OLD_OPENBLAS}
    env.update({v: str(blas_threads) for v in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")})
    return env

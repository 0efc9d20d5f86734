//! Python's own zarr reads what is written and writes what is read.

use crate::support::dolmen::Folder;
use std::io::Write;
use std::process::Command;

const WRITES: &str = "
import numpy, zarr
a = numpy.random.default_rng(1).standard_normal((53, 41))
numpy.save('a.npy', a)
z = zarr.create_array('a.zarr', shape=a.shape, chunks=(16, 10), dtype=a.dtype)
z[...] = a
s = zarr.create_array('s.zarr', shape=a.shape, chunks=(8, 5), shards=(16, 10), dtype=a.dtype)
s[...] = a
";
const READS: &str = "
import numpy, zarr
for name in ['one', 'two', 'three']:
    z = zarr.open_array(name + '.zarr', mode='r')
    assert z.chunks == (16, 10), z.chunks
    assert numpy.array_equal(z[...], numpy.load('one.npy')), name
group = zarr.open_group('group.zarr', mode='r')
assert sorted(group.array_keys()) == ['q.zarr', 'r.zarr'], list(group.array_keys())
assert group['r.zarr'].shape == (41, 41)
";

/// `DOLMEN_PYTHON`, or the one on the path, if it has zarr 3.
fn python() -> Option<String> {
    let python = std::env::var("DOLMEN_PYTHON").unwrap_or_else(|_| "python3".into());
    let test = "import zarr, sys; sys.exit(int(zarr.__version__.split('.')[0]) < 3)";
    let status = Command::new(&python).args(["-c", test]).output().ok()?.status;
    status.success().then_some(python)
}

#[test]
fn python_reads_what_is_written_and_writes_what_is_read() {
    let Some(python) = python() else {
        // Past the test harness, which keeps what a passing test prints.
        writeln!(
            std::io::stderr(),
            "SKIPPED: Zarr beside Python's zarr (no Python with zarr 3; set DOLMEN_PYTHON)"
        )
        .unwrap();
        return;
    };
    let folder = Folder::new();
    let run = |script: &str| {
        let output =
            Command::new(&python).args(["-c", script]).current_dir(folder.path("")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(WRITES);
    folder.put("eye.npy", &crate::support::matrix::Matrix::identity(41));
    for (input, out) in
        [("a.npy", "one.npy"), ("a.npy", "one.zarr"), ("a.zarr", "two.zarr"), ("s.zarr", "three.zarr")]
    {
        folder.ok(&format!("matmul {input} eye.npy --out {out} --block 16x10"));
    }
    folder.ok("qr a.npy --out group.zarr");
    run(READS);
}

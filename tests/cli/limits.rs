//! What the system and the batch system allow: descriptors, memory, kinds of files.

use crate::support::dolmen::{Folder, Outcome};
use crate::support::matrix::Matrix;
use crate::support::npy;
use std::fs;
use std::process::Command;

/// Runs the program behind a command of the shell's, such as `ulimit -n 40`.
fn behind(folder: &Folder, command: &str, words: &str) -> Outcome {
    let script = format!("{command} && exec \"$0\" {words}");
    let program = folder.command("");
    let mut shell = Command::new("sh");
    shell.args(["-f", "-c", &script]).arg(program.get_program()).current_dir(folder.path(""));
    // With a thread for each of many cores OpenBLAS could not even be loaded under a small limit. Two are one too many.
    shell.env("OPENBLAS_NUM_THREADS", "2");
    Outcome::of(shell.output().expect("a shell"))
}

fn fifo(folder: &Folder, name: &str) {
    assert!(Command::new("mkfifo").arg(folder.path(name)).status().expect("mkfifo").success());
}

#[test]
fn more_files_than_may_be_open() {
    let folder = Folder::new();
    let a = Matrix::gaussian(200, 30, 1);
    for (day, row) in a.data.chunks(30).enumerate() {
        folder.put(&format!("day{day}.npy"), &Matrix { rows: 1, cols: 30, data: row.to_vec() });
    }
    folder.put("eye.npy", &Matrix::identity(30));
    for limit in ["ulimit -n 64", "ulimit -Sn 64"] {
        for words in
            ["matmul day*.npy eye.npy --out out.npy", "matmul day*.npy eye.npy --out out.npy --block 7"]
        {
            let out = behind(&folder, limit, words);
            assert_eq!(out.code, Some(0), "{limit}: {out:?}");
            assert!(folder.get("out.npy").values == a, "{limit}");
        }
    }
}

/// Both limits are one, as `ulimit -t` sets them: there is a second to end in order.
#[test]
fn processor_time_that_ulimit_bounds() {
    let folder = Folder::new();
    folder.ok("generate normal --shape 4000x4000 --out a.npy --no-sync");
    fs::create_dir(folder.path("out")).unwrap();
    let words = "matmul a.npy a.npy --out out/c.npy --no-sync --quiet";
    let out = behind(&folder, "ulimit -t 2", words);
    assert_eq!(out.code, Some(130), "{out:?}");
    assert!(out.stderr.contains("SIGXCPU"), "{out:?}");
    assert_eq!(folder.names(), ["a.npy", "out/"]);
}

/// Done or refused in one line, whatever is allowed: never cut down.
#[test]
fn memory_that_ulimit_bounds() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(3000, 100, 1));
    for (resource, mebibytes) in
        [("v", 130), ("v", 220), ("v", 300), ("v", 600), ("v", 900), ("d", 40), ("d", 220), ("d", 600)]
    {
        let limit = format!("ulimit -{resource} {}", mebibytes << 10);
        for words in [
            "svd a.npy --out out --block 500",
            "rsvd a.npy --rank 5 --out out --memory 64GiB",
            "generate normal --shape 2000x3000 --out out.npy --no-sync",
            "generate normal --shape 3000x4000 --block 3000x4000 --out out.npy --no-sync",
        ] {
            let out = behind(&folder, &limit, words);
            let what = format!("{limit}: {words}: {out:?}");
            assert!(matches!(out.code, Some(0 | 2)), "{what}");
            assert_eq!(out.stderr.lines().count(), usize::from(out.code == Some(2)), "{what}");
        }
    }
    let out = behind(
        &folder,
        "ulimit -v 1000000",
        "generate normal --shape 40000x8000 --block 40000 --out out.npy",
    );
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.contains("ulimit -v") && out.stderr.contains("raise"), "{out:?}");
}

fn allowed(folder: &Folder, variables: &[(&str, &str)]) -> Outcome {
    let mut command = folder.command("plan svd a.npy --out out");
    Outcome::of(command.envs(variables.iter().copied()).output().expect("the program starts"))
}

#[test]
fn memory_that_slurm_bounds() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(300, 10, 1));
    for (variables, bytes) in [
        (&[("SLURM_MEM_PER_NODE", "64")][..], (64_u64 << 20) * 4 / 5),
        (&[("SLURM_MEM_PER_NODE", "65536K")], (64 << 20) * 4 / 5),
        (&[("SLURM_MEM_PER_NODE", "64M")], (64 << 20) * 4 / 5),
        (&[("SLURM_MEM_PER_CPU", "32M"), ("SLURM_CPUS_ON_NODE", "2")], (64 << 20) * 4 / 5),
    ] {
        let out = allowed(&folder, variables);
        assert_eq!(out.code, Some(0), "{variables:?}: {out:?}");
        assert!(out.stdout.contains(&format!("memory allowed {bytes} bytes")), "{variables:?}: {out:?}");
        assert!(out.stdout.contains(&format!("80 % of {}", variables[0].0)), "{variables:?}: {out:?}");
    }
    let out = allowed(&folder, &[("SLURM_MEM_PER_NODE", "64X")]);
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.contains("SLURM_MEM_PER_NODE=64X") && out.stderr.lines().count() == 1, "{out:?}");
}

#[test]
fn a_refusal_says_which_limit_it_was() {
    let folder = Folder::new();
    let words = "generate normal --shape 4000x1000 --block 4000x1000 --out out.npy";
    folder.refused(&format!("{words} --memory 1M"), &["--memory)", "use --memory"]);
    let mut command = folder.command(words);
    let out = Outcome::of(command.env("SLURM_MEM_PER_NODE", "1M").output().expect("the program starts"));
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.contains("80 % of SLURM_MEM_PER_NODE"), "{out:?}");
    // More than the job has would be its end.
    assert!(out.stderr.contains("(--mem)") && !out.stderr.contains("--memory"), "{out:?}");
}

/// Whoever opened one would wait for a writer that never comes.
#[test]
fn a_named_pipe_is_no_input() {
    let folder = Folder::new();
    fifo(&folder, "a.npy");
    fs::create_dir_all(folder.path("a.zarr/inner")).unwrap();
    fifo(&folder, "a.zarr/zarr.json");
    fs::create_dir_all(folder.path("g.zarr/inner")).unwrap();
    fifo(&folder, "g.zarr/inner/zarr.json");
    folder.write("g.zarr/zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\"}");
    folder.ok("generate normal --shape 9x9 --out chunks.zarr --block 4");
    fs::remove_file(folder.path("chunks.zarr/c/1/1")).unwrap();
    fifo(&folder, "chunks.zarr/c/1/1");
    for (input, says) in
        [("a.npy", "a.npy"), ("a.zarr", "a.zarr/zarr.json"), ("g.zarr", "no array"), ("chunks.zarr", "c/1/1")]
    {
        let out = folder.run(&format!("svd {input} --out out"));
        assert_eq!(out.code, Some(2), "{input}: {out:?}");
        assert!(out.stderr.contains(says) && out.stderr.lines().count() == 1, "{input}: {out:?}");
    }
}

#[test]
fn an_element_type_by_another_of_its_names() {
    let folder = Folder::new();
    let a = Matrix::gaussian(9, 9, 1);
    let bytes: Vec<u8> = a.data.iter().flat_map(|x| x.to_le_bytes()).collect();
    folder.put("eye.npy", &Matrix::identity(9));
    for descr in ["float64", "d", "<d", "=f8"] {
        folder.write("a.npy", npy::raw(descr, false, "(9, 9)", &bytes));
        folder.ok("matmul a.npy eye.npy --out out.npy");
        assert!(folder.get("out.npy").values == a, "{descr}");
    }
}

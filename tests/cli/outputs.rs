//! Where results go: formats by their names, inputs that are not overwritten, and what is kept of what was there.

use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// A folder with `sq.npy` (20×20) and `sq.zarr` of the same elements.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.put("sq.npy", &Matrix::gaussian(20, 20, 3));
    folder.ok("generate normal --shape 20x20 --block 8 --out sq.zarr");
    folder
}

#[test]
fn an_input_is_no_output() {
    let folder = folder();
    symlink("sq.npy", folder.path("link.npy")).unwrap();
    symlink("sq.zarr", folder.path("link.zarr")).unwrap();
    fs::create_dir(folder.path("sub")).unwrap();
    for out in [
        "sq.npy",
        "link.npy",
        "./sub/../sq.npy",
        "sq.zarr",
        "link.zarr",
        "sq.zarr/c/new.npy",
        "link.zarr/c.npy",
    ] {
        folder.refused(&format!("matmul sq.npy sq.zarr --out {out}"), &[out, "reads"]);
        folder.refused(&format!("plan matmul sq.npy sq.zarr --out {out}"), &[out, "reads"]);
        folder.refused(&format!("matmul sq.npy sq.zarr --out c.npy --report {out}"), &[out, "reads"]);
    }
    folder.refused("svd sq.npy --out s --report sq.npy", &["sq.npy", "reads"]);
    folder.refused("matmul sq.npy sq.zarr --out c.npy --report sq.zarr/zarr.json", &["zarr.json", "reads"]);
    folder.refused("svd sq.zarr --out sq.zarr", &["sq.zarr"]);
    folder.refused("svd sq.zarr --out sq.zarr/new", &["sq.zarr"]);
    fs::copy(folder.path("sq.npy"), folder.path("u.npy")).unwrap();
    folder.refused("svd u.npy --out .", &["u.npy", "reads"]);
}

#[test]
fn outputs_are_no_arrays_insides_nor_each_other() {
    let folder = folder();
    folder.refused("generate normal --shape 9x9 --out sq.zarr/c/x.npy", &["sq.zarr", "Zarr array"]);
    folder.refused(
        "generate normal --shape 9x9 --out new.zarr --report new.zarr/r.json",
        &["new.zarr", "report"],
    );
    symlink("new.npy", folder.path("dangling")).unwrap();
    folder.refused("generate normal --shape 9x9 --out new.npy --report dangling", &["new.npy", "report"]);
}

#[test]
fn a_name_without_a_format_is_refused() {
    let folder = folder();
    for out in ["c", "c.h5", "c.csv", "c.npy.gz", "c.ZARR", "c.NPY", "-"] {
        for command in ["transpose-add sq.npy", "generate normal --shape 9x9", "matmul sq.npy sq.npy"] {
            folder.refused(&format!("{command} --out {out}"), &[out, ".npy", ".zarr"]);
            folder.refused(&format!("plan {command} --out {out}"), &[out, ".npy", ".zarr"]);
        }
    }
    for out in ["c.npy", "c.h5", "c.ZARR", "-"] {
        folder.refused(&format!("svd sq.npy --out {out}"), &[out, "folder"]);
    }
}

#[test]
fn a_folder_that_ends_in_zarr_is_a_group_of_arrays() {
    let folder = folder();
    for _ in 0..2 {
        folder.ok("svd sq.npy --out x.zarr --block 30");
    }
    let names = folder.names();
    for name in
        ["x.zarr/zarr.json", "x.zarr/u.zarr/zarr.json", "x.zarr/s.zarr/zarr.json", "x.zarr/vt.zarr/zarr.json"]
    {
        assert!(names.iter().any(|there| there == name), "no {name} in {names:?}");
    }
    let node: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path("x.zarr/zarr.json")).unwrap()).unwrap();
    assert_eq!((&node["zarr_format"], &node["node_type"]), (&3.into(), &"group".into()));
    folder.refused("qr x.zarr --out y", &["x.zarr/u.zarr"]);
    folder.ok("qr sq.npy --out y.zarr --format npy");
    folder.ok("qr sq.npy --out z --format zarr");
    let names = folder.names();
    let of = |name: &str| names.iter().filter(|there| there.starts_with(name)).count();
    assert_eq!(of("y.zarr/"), 3, "the folder, q.npy and r.npy: {names:?}");
    assert!(of("z/q.zarr/") > 1 && of("z/zarr.json") == 0, "{names:?}");
}

#[test]
fn what_makes_a_folder_a_group_is_an_output_too() {
    let folder = folder();
    folder.refused("svd sq.npy --out x.zarr --report x.zarr/zarr.json", &["x.zarr/zarr.json", "report"]);
    fs::create_dir(folder.path("y.zarr")).unwrap();
    for other in ["hello", "{}", "{\"zarr_format\": 2, \"node_type\": \"group\"}"] {
        folder.write("y.zarr/zarr.json", other);
        folder.refused("svd sq.npy --out y.zarr", &["y.zarr/zarr.json", "group"]);
    }
    let group = |members: &str| format!("{{\"zarr_format\": 3, \"node_type\": \"group\"{members}}}");
    // Readers would look at the copies in it and not at the new arrays.
    let copies = ", \"consolidated_metadata\": {\"kind\": \"inline\", \"metadata\": {}}";
    folder.write("y.zarr/zarr.json", group(copies));
    folder.refused("svd sq.npy --out y.zarr", &["y.zarr/zarr.json", "consolidated_metadata"]);
    for members in [", \"consolidated_metadata\": null", ""] {
        folder.write("y.zarr/zarr.json", group(members));
        folder.ok("svd sq.npy --out y.zarr");
    }
}

#[test]
fn what_is_in_an_array_keeps_its_modes_too() {
    let folder = folder();
    folder.ok("transpose-add sq.npy --out kept.zarr");
    for (name, mode) in [("kept.zarr", 0o755), ("kept.zarr/zarr.json", 0o640)] {
        fs::set_permissions(folder.path(name), Permissions::from_mode(mode)).unwrap();
    }
    folder.ok("transpose-add sq.npy --out kept.zarr");
    let modes = |name: &str| fs::metadata(folder.path(name)).unwrap().mode() & 0o7777;
    let names = ["kept.zarr", "kept.zarr/zarr.json", "kept.zarr/c", "kept.zarr/c/0", "kept.zarr/c/0/0"];
    assert_eq!(names.map(modes), [0o755, 0o640, 0o750, 0o750, 0o640]);
}

#[test]
fn a_result_keeps_mode_and_owner_of_what_was_there() {
    let folder = folder();
    let set = |name: &str, mode: u32| {
        fs::set_permissions(folder.path(name), Permissions::from_mode(mode)).unwrap();
        // Only root may give files away.
        let _ = std::os::unix::fs::chown(folder.path(name), Some(1234), Some(4321));
    };
    folder.write("c.npy", "earlier");
    folder.write("r.json", "earlier");
    let kept = [("c.npy", 0o600), ("sq.zarr", 0o750), ("r.json", 0o444)];
    let about = |name: &str| {
        let about = fs::metadata(folder.path(name)).unwrap();
        (about.mode() & 0o7777, about.uid(), about.gid())
    };
    kept.iter().for_each(|(name, mode)| set(name, *mode));
    let before = kept.map(|(name, _)| about(name));
    folder.ok("transpose-add sq.npy --out c.npy --report r.json");
    folder.ok("transpose-add sq.npy --out sq.zarr");
    assert_eq!(kept.map(|(name, _)| about(name)), before);
    assert_eq!(before.map(|(mode, ..)| mode), kept.map(|(_, mode)| mode));
    assert_eq!(folder.get("c.npy").shape, [20, 20]);
}

#[test]
fn links_stay_and_what_they_lead_to_is_replaced() {
    let folder = folder();
    fs::create_dir(folder.path("far")).unwrap();
    folder.write("far/there.npy", "earlier");
    folder.ok("generate normal --shape 9x9 --out far/there.zarr");
    for (link, target) in [
        ("a.npy", "far/there.npy"),
        ("b.npy", "far/new.npy"),
        ("a.zarr", "far/there.zarr"),
        ("b.zarr", "far/new.zarr"),
        ("r.json", "far/r.json"),
    ] {
        symlink(target, folder.path(link)).unwrap();
    }
    for out in ["a.npy", "b.npy", "a.zarr", "b.zarr"] {
        folder.ok(&format!("transpose-add sq.npy --out {out} --report r.json --block 8"));
    }
    for link in ["a.npy", "b.npy", "a.zarr", "b.zarr", "r.json"] {
        assert!(fs::symlink_metadata(folder.path(link)).unwrap().is_symlink(), "{link}");
    }
    folder.ok("transpose-add sq.npy --out plain.npy --block 8");
    folder.ok("transpose-add sq.npy --out plain.zarr --block 8");
    let contents = folder.contents();
    for target in ["far/there.npy", "far/new.npy"] {
        assert!(contents[target] == contents["plain.npy"], "{target}");
    }
    for target in ["far/there.zarr", "far/new.zarr"] {
        assert!(contents[&format!("{target}/c/2/2")] == contents["plain.zarr/c/2/2"], "{target}");
    }
    assert!(contents.contains_key("far/r.json"));
    assert!(!contents.keys().any(|name| name.contains("partial")), "{:?}", contents.keys());
}

#[test]
fn an_array_with_files_of_others_in_it_is_not_replaced() {
    let folder = folder();
    for other in ["sq.zarr/thesis.txt", "sq.zarr/c/0/notes"] {
        folder.write(other, "mine");
        folder.refused("transpose-add sq.npy --out sq.zarr", &["sq.zarr", other]);
        fs::remove_file(folder.path(other)).unwrap();
    }
    folder.ok("transpose-add sq.npy --out sq.zarr");
}

#[test]
fn runs_that_start_together_may_share_a_new_folder() {
    let folder = folder();
    for round in 0..3 {
        let command = format!("svd sq.npy --values-only --out new{round}/deep --no-sync --quiet --threads 1");
        let runs: Vec<_> = (0..16)
            .map(|_| folder.command(&command).stderr(std::process::Stdio::piped()).spawn().unwrap())
            .collect();
        for run in runs {
            let output = run.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn what_the_command_itself_reads_is_no_output() {
    let folder = folder();
    folder.ok("keygen keys");
    let content = serde_json::json!({
        "address": "127.0.0.1:1", "keys": folder.path("keys"), "process": 1, "host": "elsewhere", "grace_ms": null
    });
    folder.write("cluster.json", content.to_string());
    folder.write("prologue.sh", "true\n");
    symlink("keys/client.pem", folder.path("key.npy")).unwrap();
    symlink("cluster.json", folder.path("file.npy")).unwrap();
    symlink("prologue.sh", folder.path("prologue.npy")).unwrap();
    let at_address = "--scheduler 127.0.0.1:1 --keys keys --wait 0s";
    let by_file = "--scheduler-file cluster.json --wait 0s";
    let of_slurm = "--provider slurm --slurm-prologue prologue.sh";
    for (cluster, output, read) in [
        (at_address, "keys/client.pem", "keys/client.pem"),
        (at_address, "keys/worker.pem", "keys/worker.pem"),
        (at_address, "key.npy", "keys/client.pem"),
        (by_file, "cluster.json", "cluster.json"),
        (by_file, "file.npy", "cluster.json"),
        (by_file, "keys/authority.pem", "keys/authority.pem"),
        (of_slurm, "prologue.npy", "prologue.sh"),
    ] {
        folder.refused(&format!("svd sq.npy --out o {cluster} --report {output}"), &[output, read, "reads"]);
        if output.ends_with(".npy") {
            folder
                .refused(&format!("transpose-add sq.npy --out {output} {cluster}"), &[output, read, "reads"]);
        }
        if cluster != of_slurm {
            folder.refused(&format!("plan svd sq.npy --out o {cluster} --report {output}"), &[output, read]);
        }
    }
}

/// The links are elsewhere, since whoever looks at all that is in the folder would read from what they lead to.
#[test]
fn what_is_open_and_what_is_no_file_is_no_output() {
    let (folder, links) = (folder(), Folder::new());
    let link = |name: &str, target: &str| {
        symlink(target, links.path(name)).unwrap();
        links.path(name).display().to_string()
    };
    let open = link("open.npy", "/proc/self/fd/1");
    let again = link("again.npy", "open.npy");
    let other = link("other.npy", "/dev/fd/1");
    let device = link("device.npy", "/dev/null");
    assert!(std::process::Command::new("mkfifo").arg(links.path("fifo")).status().unwrap().success());
    let pipe = link("pipe.npy", "fifo");
    let as_before = "what was said before\n";
    for output in [&open, &again, &other, &device, &pipe] {
        for (words, says) in [
            (format!("transpose-add sq.npy --out {output}"), "name a file"),
            (format!("svd sq.npy --out o --quiet --report {output}"), "- for standard output"),
            (format!("plan svd sq.npy --out o --report {output}"), "- for standard output"),
        ] {
            folder.refused(&words, &[output, says]);
            // To a file, which is the one that the link leads to.
            folder.write("log", as_before);
            let log = fs::File::options().append(true).open(folder.path("log")).unwrap();
            let inode = log.metadata().unwrap().ino();
            assert_eq!(
                folder.command(&words).stdout(log).output().unwrap().status.code(),
                Some(2),
                "{words}"
            );
            assert_eq!(fs::metadata(folder.path("log")).unwrap().ino(), inode, "{words}");
            assert_eq!(fs::read_to_string(folder.path("log")).unwrap(), as_before, "{words}");
            fs::remove_file(folder.path("log")).unwrap();
        }
    }
}

//! Keys for a cluster.

use crate::support::dolmen::Folder;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const FILES: [&str; 4] = ["authority.pem", "scheduler.pem", "worker.pem", "client.pem"];

#[test]
fn keys_are_made_that_nobody_else_can_read() {
    let folder = Folder::new();
    let said = folder.ok("keygen new/keys").stdout;
    for name in FILES {
        let path = folder.path("new/keys").join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        assert!(said.contains(&format!("new/keys/{name}")), "{said}");
    }
    assert_eq!(fs::read_dir(folder.path("new/keys")).unwrap().count(), FILES.len());
}

#[test]
fn keys_that_are_there_are_never_overwritten() {
    let folder = Folder::new();
    folder.ok("keygen keys");
    folder.refused("keygen keys", &["authority.pem", "never overwritten"]);
    for name in FILES {
        let other = Folder::new();
        other.write(name, "mine");
        other.refused("keygen .", &[name, "never overwritten"]);
    }
    folder.write("file", "");
    folder.refused("keygen file", &["file"]);
    folder.refused("keygen file/keys", &["file/keys"]);
}

/// Whoever opened one would wait for a writer that never comes.
#[test]
fn a_named_pipe_is_no_key() {
    for name in ["authority.pem", "client.pem"] {
        let folder = Folder::new();
        folder.ok("keygen keys");
        let path = folder.path("keys").join(name);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let outcome = folder.run("status --scheduler 127.0.0.1:1 --keys keys");
        assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(2), 1), "{outcome:?}");
        assert!(outcome.stderr.contains(&format!("keys/{name}")), "{outcome:?}");
    }
}

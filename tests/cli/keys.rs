//! Keys for a cluster.

use crate::support::dolmen::Folder;
use std::fs;
use std::os::unix::fs::PermissionsExt;

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

//! Holds the sources to the house's rules: imports point down, pure modules are pure, the leaves know nobody,
//! functions and files stay short. Each rule is shown to find its violation in a made-up tree before it is applied to
//! the real one.

#[path = "support/source.rs"]
mod source;

use source::{Function, PathAt, blank, functions, paths, tokens, without_tests};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src/`, lowest first. Each may import only from itself and from those before it.
const LAYERS: [&str; 16] = [
    "ids", "failure", "array", "graph", "sched", "data", "files", "store", "protocol", "exec", "actors",
    "net", "session", "fuzzed", "cli", "main",
];
/// The first of them are pure.
const PURE: &[&str] = &["ids", "failure", "array", "graph", "sched"];
/// Modules that may import even less than their layer allows.
const ONLY: &[(&str, &[&str])] = &[("cli", &["ids", "array", "files", "session"])];
/// The crates that a pure module may use.
const PURE_CRATES: &[&str] = &["ndarray", "serde", "serde_json", "thiserror"];
/// Crates that are impure even while `Cargo.toml` does not name them.
const IMPURE_CRATES: &[&str] = &[
    "actix",
    "actix_rt",
    "blas_src",
    "cblas_sys",
    "crossbeam",
    "crossbeam_channel",
    "faer",
    "kernels",
    "lapack_sys",
    "lax",
    "ndarray_linalg",
    "openblas_src",
    "rand",
    "sysinfo",
    "tokio",
];
const IMPURE_STD: &[&str] = &["env", "fs", "io", "net", "os", "process", "sync", "thread", "time"];
const IMPURE_MACROS: &[&str] = &["print", "println", "eprint", "eprintln"];
const UNFINISHED_MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
/// What `cluster` would have to say to speak of computations.
const NAMES_OF_TASKS: &[&str] = &["Task", "TaskId", "TaskRange", "BlockId", "StageId"];
/// Functions of `sched` that visit every task.
const OVER_ALL_TASKS: &[&str] = &["forecast", "plan", "plan_fleet", "plan_spilling", "serial_order"];
const WIDEST_COMMENT: usize = 120;
const LONGEST_FUNCTION: usize = 60;
const LONGEST_FILE: usize = 600;
/// A ratchet entry this much above the measured length must be lowered.
const RATCHET_SLACK: usize = 10;

/// Files by their path from the root of the workspace.
struct Tree(BTreeMap<String, String>);

struct Source<'a> {
    path: &'a str,
    text: &'a str,
    blanked: String,
}

impl Source<'_> {
    fn starts_with(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whole files of tests: `tests.rs`, `x_tests.rs`, `testing.rs`, and everything below a folder `tests`.
    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or(self.path);
        name.ends_with("tests.rs") || name == "testing.rs" || self.path.split('/').any(|part| part == "tests")
    }

    /// `src/graph/stage.rs` is `graph::stage`.
    fn module(&self) -> Vec<String> {
        let inside =
            self.path.split_once("src/").map_or(self.path, |(_, inside)| inside).trim_end_matches(".rs");
        inside.split('/').filter(|part| !matches!(*part, "mod" | "lib")).map(String::from).collect()
    }

    fn paths(&self) -> Vec<PathAt> {
        paths(&without_tests(&tokens(&self.blanked)), &self.module())
    }

    fn words(&self) -> Vec<(String, usize)> {
        without_tests(&tokens(&self.blanked))
            .iter()
            .map(|token| (token.text.to_string(), token.line))
            .collect()
    }

    /// Words of `names` that are called as macros, with their lines, in tests as well.
    fn macros<'n>(&self, names: &'n [&str]) -> Vec<(&'n str, usize)> {
        let tokens = tokens(&self.blanked);
        let calls = tokens.windows(2).filter(|pair| pair[1].text == "!");
        calls
            .filter_map(|pair| Some((*names.iter().find(|name| **name == pair[0].text)?, pair[0].line)))
            .collect()
    }
}

impl Tree {
    fn of(files: &[(&str, &str)]) -> Tree {
        Tree(files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect())
    }

    fn on_disk() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = BTreeMap::new();
        for folder in ["src", "kernels", "cluster", "examples", "benches", "tests"] {
            collect(root, &root.join(folder), &mut files);
        }
        for name in ["Cargo.toml", "tests/ratchet.txt"] {
            files.insert(name.to_string(), fs::read_to_string(root.join(name)).unwrap_or_default());
        }
        Tree(files)
    }

    fn sources(&self) -> Vec<Source<'_>> {
        let rust = self.0.iter().filter(|(path, _)| path.ends_with(".rs"));
        rust.map(|(path, text)| Source { path, text, blanked: blank(text) }).collect()
    }

    fn text(&self, path: &str) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    /// The crates that a manifest depends on, as they are written in paths.
    fn dependencies(&self, manifest: &str) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        let mut inside = false;
        for line in self.text(manifest).lines() {
            if let Some(section) = line.trim().strip_prefix('[') {
                inside = section.trim_end_matches(']').ends_with("dependencies");
            } else if let (true, Some((name, _))) = (inside, line.split_once(['=', '.'])) {
                out.insert(name.trim().replace('-', "_"));
            }
        }
        out
    }

    fn violations(&self) -> Vec<String> {
        let mut out = Vec::new();
        for source in self.sources() {
            if source.starts_with("src/") && !source.is_test() {
                self.check_directions(&source, &mut out);
                self.check_purity(&source, &mut out);
            }
            check_leaves(&source, &mut out);
            check_finished(&source, &mut out);
            check_actor_thread(&source, &mut out);
            check_widths(&source, &mut out);
        }
        self.check_list_of_layers(&mut out);
        self.check_manifests(&mut out);
        self.check_bincode(&mut out);
        self.check_lengths(&mut out);
        out.dedup(); // two names of one `use`
        out
    }

    fn check_directions(&self, source: &Source, out: &mut Vec<String>) {
        let module = source.module();
        let Some(own) = module.first() else { return }; // lib.rs shows what it likes
        let Some(own_layer) = layer(own) else {
            return out.push(format!(
                "{}: module {own} is in no layer; add it to LAYERS in its place",
                source.path
            ));
        };
        for PathAt { segments, line } in source.paths() {
            let to_own_crate = segments[0] == "crate" || segments[0] == "dolmen";
            let Some(target) = segments.get(1).filter(|_| to_own_crate) else { continue };
            let narrow = ONLY.iter().find(|(module, _)| module == own);
            match layer(target) {
                _ if own == "main" => {}
                None => out.push(format!(
                    "{}:{line}: crate::{target} is no layer: name the module it is from",
                    source.path
                )),
                Some(there) if there > own_layer => {
                    out.push(format!("{}:{line}: {own} imports {target}, which is above it", source.path));
                }
                Some(_)
                    if target != own
                        && narrow.is_some_and(|(_, allowed)| !allowed.contains(&target.as_str())) =>
                {
                    out.push(format!("{}:{line}: {own} may not import {target}", source.path));
                }
                Some(_) => {}
            }
        }
    }

    fn check_purity(&self, source: &Source, out: &mut Vec<String>) {
        let module = source.module();
        if !module.first().is_some_and(|module| PURE.contains(&module.as_str())) {
            return;
        }
        let mut impure: BTreeSet<String> = self.dependencies("Cargo.toml");
        impure.extend(IMPURE_CRATES.iter().map(|name| name.to_string()));
        impure.retain(|name| !PURE_CRATES.contains(&name.as_str()));
        for PathAt { segments, line } in source.paths() {
            if impure.contains(&segments[0]) || impure_std(&segments, IMPURE_STD) {
                out.push(format!("{}:{line}: {} in a pure module", source.path, segments.join("::")));
            }
        }
        for (name, line) in source.macros(IMPURE_MACROS) {
            out.push(format!("{}:{line}: {name}! in a pure module", source.path));
        }
    }

    fn check_manifests(&self, out: &mut Vec<String>) {
        for (leaf, others) in [("kernels", ["cluster", "dolmen"]), ("cluster", ["kernels", "dolmen"])] {
            let dependencies = self.dependencies(&format!("{leaf}/Cargo.toml"));
            for other in others.iter().filter(|other| dependencies.contains(**other)) {
                out.push(format!("{leaf}/Cargo.toml: {leaf} is a leaf and depends on {other}"));
            }
        }
    }

    fn check_bincode(&self, out: &mut Vec<String>) {
        let sources = self.sources();
        let uses = |source: &&Source| source.paths().iter().any(|path| path.segments[0] == "bincode");
        let files: Vec<&str> = sources.iter().filter(uses).map(|source| source.path).collect();
        if files.len() > 1 {
            out.push(format!("bincode is used in {} files, not in one: {}", files.len(), files.join(", ")));
        }
    }

    /// Functions and files are short, or `tests/ratchet.txt` names them with a length that can only be lowered.
    /// The list that a newcomer reads first is the one that is enforced.
    fn check_list_of_layers(&self, out: &mut Vec<String>) {
        let text = self.text("src/lib.rs");
        let named = text.lines().filter_map(|line| line.strip_prefix("//! - "));
        let listed = named.filter_map(|line| line.trim_start_matches('[').strip_prefix('`')?.split_once('`'));
        let listed: Vec<&str> = listed.map(|(name, _)| name.trim_start_matches("mod@")).collect();
        let layers: Vec<&str> = LAYERS.into_iter().filter(|layer| *layer != "main").collect();
        if text.starts_with("//!") && listed != layers {
            out.push(format!("src/lib.rs: lists {listed:?}, not the layers {layers:?}"));
        }
    }

    fn check_lengths(&self, out: &mut Vec<String>) {
        let mut allowed: BTreeMap<(String, String), usize> = BTreeMap::new();
        for line in
            self.text("tests/ratchet.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next().map(str::parse), words.next()) {
                (Some(path), Some(name), Some(Ok(lines)), Some(_)) => {
                    allowed.insert((path.into(), name.into()), lines);
                }
                _ => out.push(format!("tests/ratchet.txt: not `path function lines reason`: {line}")),
            }
        }
        for source in self.sources() {
            let mut measured: BTreeMap<String, (usize, usize)> = BTreeMap::new();
            measured.insert("-".into(), (source.text.lines().count(), 1));
            let found =
                if source.is_test() { vec![] } else { functions(&without_tests(&tokens(&source.blanked))) };
            for Function { name, line, lines } in found {
                let entry = measured.entry(name).or_default();
                *entry = (*entry).max((lines, line));
            }
            for (name, (lines, line)) in measured {
                let limit = if name == "-" { LONGEST_FILE } else { LONGEST_FUNCTION };
                let entry = allowed.remove(&(source.path.to_string(), name.clone()));
                if let Some(complaint) = complaint(lines, limit, entry) {
                    out.push(format!("{}:{line}: {name} has {lines} lines, {complaint}", source.path));
                }
            }
        }
        out.extend(
            allowed
                .keys()
                .map(|(path, name)| format!("tests/ratchet.txt: {path} has no {name}: remove the entry")),
        );
    }
}

fn complaint(lines: usize, limit: usize, entry: Option<usize>) -> Option<String> {
    match entry {
        None if lines > limit => {
            Some(format!("more than {limit}: shorten it or give its reason in tests/ratchet.txt"))
        }
        Some(allowed) if lines > allowed => {
            Some(format!("tests/ratchet.txt allows {allowed}: it may not grow"))
        }
        Some(_) if lines <= limit => Some("short enough: remove it from tests/ratchet.txt".into()),
        Some(allowed) if lines + RATCHET_SLACK < allowed => {
            Some(format!("lower its {allowed} in tests/ratchet.txt"))
        }
        _ => None,
    }
}

fn check_leaves(source: &Source, out: &mut Vec<String>) {
    let (strangers, std): (&[&str], &[&str]) = match source.path {
        path if path.starts_with("kernels/") => (&["cluster", "dolmen"], &["fs", "net", "thread", "time"]),
        path if path.starts_with("cluster/") => (&["kernels", "dolmen"], &[]),
        _ => return,
    };
    let in_library = source.path.contains("/src/") && !source.is_test();
    for PathAt { segments, line } in source.paths() {
        if strangers.contains(&segments[0].as_str()) || (in_library && impure_std(&segments, std)) {
            out.push(format!("{}:{line}: {} in a leaf", source.path, segments.join("::")));
        }
    }
    for (word, line) in source.words() {
        if source.starts_with("cluster/") && NAMES_OF_TASKS.contains(&word.as_str()) {
            out.push(format!("{}:{line}: {word}: cluster knows machines, not tasks", source.path));
        }
    }
}

fn check_widths(source: &Source, out: &mut Vec<String>) {
    for (line, text) in (1..).zip(source.text.lines()) {
        let width = text.chars().count();
        if text.trim_start().starts_with("//") && width > WIDEST_COMMENT {
            out.push(format!(
                "{}:{line}: a comment of {width} characters, at most {WIDEST_COMMENT}",
                source.path
            ));
        }
    }
}

fn check_finished(source: &Source, out: &mut Vec<String>) {
    for (name, line) in source.macros(UNFINISHED_MACROS) {
        out.push(format!("{}:{line}: {name}! is not to stay", source.path));
    }
    let tokens = tokens(&source.blanked);
    for triple in tokens.windows(3) {
        if triple[0].text == "#" && triple[1].text == "[" && triple[2].text == "ignore" {
            out.push(format!("{}:{}: a test that is ignored tests nothing", source.path, triple[0].line));
        }
    }
}

/// The actor thread answers everybody: what takes as long as a program is long is done by the caller.
fn check_actor_thread(source: &Source, out: &mut Vec<String>) {
    if !source.starts_with("src/actors/") || source.is_test() {
        return;
    }
    for PathAt { segments, line } in source.paths() {
        let makes_core = segments.windows(2).any(|pair| pair[0] == "Core" && pair[1] != "*");
        let walks = segments.iter().any(|name| OVER_ALL_TASKS.contains(&name.as_str()));
        if makes_core || walks {
            out.push(format!("{}:{line}: {} on the actor thread", source.path, segments.join("::")));
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

/// Whether a path leads into these parts of the standard library. Of `std::sync`, `Arc` is a pointer, not a lock.
fn impure_std(segments: &[String], parts: &[&str]) -> bool {
    let segment = |at: usize| segments.get(at).map_or("", String::as_str);
    let whole = matches!(segment(1), "*" | "") && !parts.is_empty();
    let arc = segment(1) == "sync" && segment(2) == "Arc";
    matches!(segment(0), "std" | "core") && (whole || parts.contains(&segment(1))) && !arc
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "toml") {
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            files.insert(name, fs::read_to_string(&path).expect("a readable source"));
        }
    }
}

#[test]
fn the_sources_keep_the_rules() {
    let violations = Tree::on_disk().violations();
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

/// Lines of prose that are too wide: not tables, nor what stands there as it is printed.
fn wide_prose(text: &str) -> Vec<usize> {
    let mut is_printed = false;
    let mut wide = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        is_printed ^= text.starts_with("```");
        let is_prose = !is_printed && !text.starts_with('|') && !text.starts_with("    ");
        if is_prose && text.chars().count() > WIDEST_COMMENT {
            wide.push(line);
        }
    }
    wide
}

#[test]
fn prose_is_as_narrow_as_comments() {
    let word = "word ".repeat(30);
    assert_eq!(wide_prose(&format!("{word}\n| {word} |\n    {word}\n```\n{word}\n```\n- {word}")), [1, 7]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = [".", "docs", "docs/architecture", "slurm", "examples"].map(|folder| root.join(folder));
    let entries = pages.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder of pages"));
    let pages = entries.map(|entry| entry.expect("an entry").path());
    let pages: Vec<PathBuf> =
        pages.filter(|page| page.extension().is_some_and(|ending| ending == "md")).collect();
    assert!(pages.len() > 10, "the pages are elsewhere: {pages:?}");
    for page in pages {
        let wide = wide_prose(&fs::read_to_string(&page).expect("a page"));
        assert!(wide.is_empty(), "{}: lines {wide:?} are too wide", page.display());
    }
}

#[test]
fn the_real_tree_is_seen() {
    let tree = Tree::on_disk();
    for path in [
        "src/lib.rs",
        "kernels/src/lib.rs",
        "cluster/src/policy.rs",
        "tests/architecture.rs",
        "kernels/Cargo.toml",
    ] {
        assert!(!tree.text(path).is_empty(), "{path} is missing");
    }
    assert!(tree.dependencies("Cargo.toml").contains("actix"));
}

/// What is found in a single file, without its place.
fn found(path: &str, text: &str) -> Vec<String> {
    let all = Tree::of(&[(path, text)]).violations();
    all.into_iter()
        .map(|line| line.strip_prefix(path).unwrap_or(&line).trim_start_matches(':').to_string())
        .collect()
}

#[test]
fn imports_that_point_up_are_found_however_they_are_written() {
    for text in [
        "use crate::sched::Core;",
        "use crate::{ids::TaskId, sched::{Core, Event as E}};",
        "pub(crate) use super::super::sched;",
        "fn f() { crate::sched::go::<u8>() }",
        "mod inner { use super::super::super::sched::X; }",
        "use dolmen::sched::*;",
        "use {crate::ids, crate::sched};",
    ] {
        let found = found("src/graph/stage.rs", text);
        assert_eq!(found, ["1: graph imports sched, which is above it"], "{text}");
    }
}

#[test]
fn another_list_of_layers_in_lib_is_found() {
    let found = found("src/lib.rs", "//! - [`ids`]: names\n//! - [`sched`]: the scheduler\n");
    assert!(matches!(&found[..], [one] if one.contains("not the layers")), "{found:?}");
}

#[test]
fn wide_comments_are_found() {
    let wide = format!("fn f() {{}}\n/// {}", "word ".repeat(30));
    assert_eq!(found("src/ids.rs", &wide), ["2: a comment of 154 characters, at most 120"]);
    assert_eq!(found("src/ids.rs", &format!("const C: &str = \"{}\";", "word ".repeat(30))), [""; 0]);
}

#[test]
fn imports_that_point_down_or_sideways_are_not() {
    for text in [
        "use crate::{array::BlockGrid, ids::*};",
        "use super::program::Program; use self::inner::X;",
        "mod inner { use super::super::program::P; }",
        "// use crate::sched::X;\n/* /* nested */ crate::sched::Y */",
        "/// [`Core`](crate::sched::Core)\nconst S: &str = \"crate::sched::X\"; const R: &str = r#\"crate::\"sched::X\"#;",
        "#[cfg(test)] mod tests { use crate::sched::Core; fn f() { crate::exec::g() } }",
        "#[cfg(all(test, unix))] #[path = \"x.rs\"] mod tests;\n#[cfg(test)] use crate::sched::X;",
        "fn f<'a>(x: &'a str) -> char { let _ = x.sched; ':' }",
    ] {
        assert_eq!(found("src/graph/stage.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn code_behind_a_test_module_is_still_looked_at() {
    let text = "#[cfg(test)]\nmod tests { fn f() { let c = '{'; } }\nuse crate::cli::X;";
    assert_eq!(found("src/ids.rs", text), ["3: ids imports cli, which is above it"]);
}

#[test]
fn modules_without_a_layer_and_detours_over_the_root_are_found() {
    assert_eq!(found("src/misc.rs", ""), [" module misc is in no layer; add it to LAYERS in its place"]);
    assert_eq!(
        found("src/ids.rs", "use crate::Error;"),
        ["1: crate::Error is no layer: name the module it is from"]
    );
    assert_eq!(found("src/cli/run.rs", "use crate::store::Pool;"), ["1: cli may not import store"]);
    assert_eq!(found("src/cli/run.rs", "use crate::session::Session; use super::args::Args;"), [""; 0]);
    assert_eq!(found("src/lib.rs", "pub use crate::session::Session; pub use array::X;"), [""; 0]);
    assert_eq!(found("src/main.rs", "fn main() { dolmen::cli::main() }"), [""; 0]);
}

#[test]
fn impurity_is_found() {
    for (text, what) in [
        ("use actix::Actor;", "actix::Actor"),
        ("use std::time::Duration;", "std::time::Duration"),
        ("use std::{collections::BTreeMap, fs::File};", "std::fs::File"),
        ("fn f() { std::thread::sleep(d) }", "std::thread::sleep"),
        ("use std::sync::{Arc, Mutex};", "std::sync::Mutex"),
        ("use std::sync::{self, Arc};", "std::sync"),
        ("use std::sync::*;", "std::sync::*"),
        ("use std::*;", "std::*"),
        ("fn f() { ::kernels::gemm() }", "kernels::gemm"),
        ("use core::time::Duration;", "core::time::Duration"),
    ] {
        assert_eq!(found("src/sched/core.rs", text), [format!("1: {what} in a pure module")], "{text}");
        assert_eq!(found("src/exec/mod.rs", text), [""; 0], "exec is not pure: {text}");
    }
    assert_eq!(found("src/ids.rs", "fn f() { println!(\"x\") }"), ["1: println! in a pure module"]);
    let pure =
        "use std::sync::Arc; use std::{fmt, sync::Arc as A}; use serde::Serialize; use thiserror::Error;";
    assert_eq!(found("src/array/mod.rs", pure), [""; 0]);
}

#[test]
fn each_dependency_of_the_manifest_is_impure_unless_allowed() {
    let manifest = "[dependencies]\nfancy-crate = \"1\"\nserde.workspace = true\n[features]\nother = []\n";
    let tree = |text| Tree::of(&[("Cargo.toml", manifest), ("src/ids.rs", text)]).violations();
    assert_eq!(tree("use fancy_crate::X;"), ["src/ids.rs:1: fancy_crate::X in a pure module"]);
    assert_eq!(tree("use serde::X; fn f() { other::g() }"), [""; 0]);
}

#[test]
fn leaves_that_know_others_are_found() {
    assert_eq!(found("kernels/src/gemm.rs", "use cluster::frame;"), ["1: cluster::frame in a leaf"]);
    assert_eq!(found("kernels/src/gemm.rs", "use std::time::Instant;"), ["1: std::time::Instant in a leaf"]);
    assert_eq!(found("kernels/tests/all.rs", "use std::time::Instant; use kernels::gemm;"), [""; 0]);
    assert_eq!(found("cluster/src/lib.rs", "use dolmen::ids::X;"), ["1: dolmen::ids::X in a leaf"]);
    assert_eq!(
        found("cluster/src/lib.rs", "fn f(id: TaskId) {}"),
        ["1: TaskId: cluster knows machines, not tasks"]
    );
    assert_eq!(found("cluster/src/lib.rs", "/// No Task.\nfn f() { std::time::now() }"), [""; 0]);
    let tree = Tree::of(&[("cluster/Cargo.toml", "[dependencies]\nkernels = { path = \"../kernels\" }\n")]);
    assert_eq!(tree.violations(), ["cluster/Cargo.toml: cluster is a leaf and depends on kernels"]);
}

#[test]
fn what_takes_long_on_the_actor_thread_is_found() {
    let scheduler = |text| found("src/actors/scheduler.rs", text);
    assert_eq!(scheduler("fn f() { Core::planned(p, l) }"), ["1: Core::planned on the actor thread"]);
    assert_eq!(scheduler("use crate::sched::plan;"), ["1: crate::sched::plan on the actor thread"]);
    assert_eq!(scheduler("use crate::sched::{Core, Plan};"), [""; 0]);
}

#[test]
fn bincode_in_two_files_is_found() {
    let uses = "use bincode::config;";
    assert_eq!(found("src/protocol/codec.rs", uses), [""; 0]);
    let two =
        Tree::of(&[("src/protocol/codec.rs", uses), ("src/store/disk.rs", "fn f() { bincode::encode() }")]);
    assert!(two.violations()[0].starts_with("bincode is used in 2 files"), "{:?}", two.violations());
}

#[test]
fn what_is_unfinished_is_found_in_tests_too() {
    for name in UNFINISHED_MACROS {
        for path in ["src/exec/mod.rs", "tests/x.rs", "examples/x.rs"] {
            let used = format!("fn f() {{ {name}!(\"later\") }}");
            assert_eq!(found(path, &used), [format!("1: {name}! is not to stay")]);
        }
        let named = format!("fn {name}() {{ let {name} = \"{name}!\"; }} // {name}!()");
        assert_eq!(found("src/exec/mod.rs", &named), [""; 0]);
    }
    let attribute = "ignore";
    let ignored = found("tests/x.rs", &format!("#[test]\n#[{attribute} = \"slow\"]\nfn f() {{}}"));
    assert_eq!(ignored, ["2: a test that is ignored tests nothing"]);
}

#[test]
fn what_is_long_is_found_and_the_ratchet_only_turns_one_way() {
    let long = |lines: usize| format!("fn long() {{\n{}}}\n", "    // x\n".repeat(lines - 2));
    let check = |lines: usize, ratchet: &str| {
        let tree = Tree::of(&[("src/exec/mod.rs", &long(lines)), ("tests/ratchet.txt", ratchet)]);
        tree.violations().join("\n")
    };
    let entry = "# a comment\nsrc/exec/mod.rs long 70 a protocol loop\n";
    assert_eq!(check(60, ""), "");
    assert!(check(61, "").contains("long has 61 lines, more than 60"));
    assert_eq!(check(70, entry), "");
    assert_eq!(check(61, entry), "");
    assert!(check(71, entry).contains("it may not grow"));
    assert!(check(60, entry).contains("remove it"));
    assert!(check(61, "src/exec/mod.rs long 99 reason").contains("lower its 99"));
    assert!(check(9, "src/exec/mod.rs gone 99 reason").contains("remove the entry"));
    assert!(check(9, "src/exec/mod.rs long 99").contains("not `path function lines reason`"));
    assert!(found("tests/x.rs", &"\n".repeat(601))[0].contains("601 lines, more than 600"));
}

//! One build of all mutants. Those that do not compile are found and left out.

use crate::mutant::Mutant;
use crate::weave::{Woven, weave};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Place {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    spans: Vec<Place>,
    rendered: Option<String>,
}

/// What cargo says in a line, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    message: Option<Message>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
}

/// Tests that can be run, and the folder in which cargo would run them.
pub struct Binary {
    pub name: String,
    pub path: PathBuf,
    pub folder: PathBuf,
}

pub struct Built {
    pub binaries: Vec<Binary>,
    /// The numbers of mutants that do not compile.
    pub refused: BTreeSet<usize>,
    /// Those for which there is no place, as in what is known when the code is built.
    pub unplaced: BTreeSet<usize>,
}

/// Writes the mutants into the sources below `dir` and builds its tests.
pub fn build(dir: &Path, mutants: &[Mutant], left: &BTreeSet<usize>, cargo: &[String]) -> Built {
    let mut files: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (mutant, number) in mutants.iter().zip(1..) {
        files.entry(&mutant.file).or_default().push(number);
    }
    let texts: BTreeMap<&str, String> =
        files.keys().map(|file| (*file, fs::read_to_string(dir.join(file)).expect("a source"))).collect();
    texts.keys().for_each(|file| add_switch(dir, file));
    let mut refused = BTreeSet::new();
    let mut woven = BTreeMap::new();
    loop {
        for (file, numbers) in &files {
            let numbers = numbers.iter().copied().filter(|n| !refused.contains(n) && !left.contains(n));
            let now = weave(&texts[file], mutants, numbers);
            if woven.get(file).is_none_or(|before: &Woven| before.text != now.text) {
                fs::write(dir.join(file), &now.text).expect("a source that can be written");
            }
            woven.insert(*file, now);
        }
        let lines = compile(dir, cargo);
        let errors = lines.iter().filter_map(|line| line.message.as_ref()).filter(|m| m.level == "error");
        let errors: Vec<&Message> = errors.filter(|message| !message.spans.is_empty()).collect();
        if errors.is_empty() {
            let placed: BTreeSet<usize> =
                woven.values().flat_map(|woven| woven.pieces.iter().map(|(_, number)| *number)).collect();
            let is_unplaced = |n: &usize| !placed.contains(n) && !refused.contains(n) && !left.contains(n);
            let unplaced = (1..=mutants.len()).filter(is_unplaced).collect();
            return Built { binaries: lines.into_iter().filter_map(binary).collect(), refused, unplaced };
        }
        let before = refused.len();
        for error in &errors {
            let guilty = guilty(error, &woven);
            if guilty.is_empty() {
                eprintln!("no mutant explains this:\n{}", error.rendered.as_deref().unwrap_or_default());
            }
            refused.extend(guilty);
        }
        assert!(refused.len() > before, "the code does not compile");
        eprintln!("{} mutants do not compile so far", refused.len());
    }
}

/// `src/lib.rs` of the package gets a module of ours.
fn add_switch(dir: &Path, file: &str) {
    let sources = &file[..file.find("src/").expect("sources are in src/") + "src/".len()];
    let root = dir.join(sources).join("lib.rs");
    fs::write(dir.join(sources).join("switch.rs"), include_str!("switch.rs")).expect("a source");
    let text = fs::read_to_string(&root).expect("a library");
    let module = "\npub mod switch;\n";
    if !text.ends_with(module) {
        fs::write(root, text + module).expect("a source that can be written");
    }
}

/// A check, which is soon done, and if nothing is wrong a build of the tests.
fn compile(dir: &Path, cargo: &[String]) -> Vec<Line> {
    let run = |what: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(what).arg("--message-format=json").args(cargo).current_dir(dir);
        let output = command.stderr(Stdio::inherit()).output().expect("cargo can be started");
        let text = String::from_utf8(output.stdout).expect("cargo writes text");
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (output.status.success(), lines)
    };
    match run(&["check", "--lib"]) {
        (true, _) => run(&["test", "--no-run", "--lib", "--tests"]).1,
        (false, lines) => lines,
    }
}

fn binary(line: Line) -> Option<Binary> {
    let is_test = line.profile?.test;
    let folder = line.manifest_path?.parent()?.to_path_buf();
    is_test.then_some(Binary { name: line.target?.name, path: line.executable?, folder })
}

/// The mutants within which the error is, or those that are within the places that it names.
fn guilty(error: &Message, woven: &BTreeMap<&str, Woven>) -> BTreeSet<usize> {
    let pieces = |place: &Place, is_met: fn(&Range<usize>, &Range<usize>) -> bool| {
        let at = place.byte_start..place.byte_end;
        let pieces = woven.get(place.file_name.as_str()).map_or(&[][..], |woven| &woven.pieces);
        pieces.iter().filter(move |(range, _)| is_met(range, &at)).map(|(_, number)| *number)
    };
    let within = |range: &Range<usize>, at: &Range<usize>| range.start <= at.start && at.end <= range.end;
    let across = |range: &Range<usize>, at: &Range<usize>| at.start <= range.start && range.end <= at.end;
    let first: BTreeSet<usize> = error.spans.iter().flat_map(|place| pieces(place, within)).collect();
    if !first.is_empty() {
        return first;
    }
    error.spans.iter().flat_map(|place| pieces(place, across)).collect()
}

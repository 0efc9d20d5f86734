//! A mutant as cargo-mutants lists it.

use serde::Deserialize;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

#[derive(Deserialize)]
struct Span {
    start: Place,
    end: Place,
}

#[derive(Deserialize)]
struct Function {
    return_type: String,
}

#[derive(Deserialize)]
pub struct Mutant {
    pub file: String,
    pub genre: Genre,
    /// Says where it is and what it changes.
    pub name: String,
    pub replacement: String,
    span: Span,
    function: Option<Function>,
}

impl Mutant {
    /// In bytes of the file.
    pub fn range(&self, text: &str) -> Range<usize> {
        offset(text, &self.span.start)..offset(text, &self.span.end)
    }

    /// One function returns one type, so it cannot return another one behind a switch.
    pub fn has_its_own_type(&self) -> bool {
        let is_hidden = |function: &Function| function.return_type.contains("impl ");
        self.genre == Genre::FnValue && self.function.as_ref().is_some_and(is_hidden)
    }
}

/// Lines and columns count from 1, columns in characters.
fn offset(text: &str, place: &Place) -> usize {
    let before: usize = text.split_inclusive('\n').take(place.line - 1).map(str::len).sum();
    let line = &text[before..];
    before + line.char_indices().nth(place.column - 1).map_or(line.len(), |(at, _)| at)
}

/// Those that `choice`, arguments of cargo-mutants, names.
pub fn list(dir: &Path, choice: &[String]) -> Vec<Mutant> {
    let mut command = Command::new("cargo");
    command.args(["mutants", "--list", "--json"]).args(choice).arg("--dir").arg(dir);
    let output = command.stderr(Stdio::inherit()).output().expect("cargo-mutants can be started");
    assert!(output.status.success(), "cargo-mutants lists no mutants");
    serde_json::from_slice(&output.stdout).expect("a list of mutants as cargo-mutants 27 writes it")
}

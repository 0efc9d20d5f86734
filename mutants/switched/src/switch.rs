//! Which mutant is on. `switched` puts this file into the package whose code it mutates.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

enum Mode {
    /// This one is on. None has the number 0.
    One(u32),
    /// None is on. The numbers of those that are come by are appended to this file.
    Recorded(File),
}

static MODE: LazyLock<Mode> = LazyLock::new(|| match env::var_os("SWITCH_REACHED") {
    Some(path) => Mode::Recorded(OpenOptions::new().append(true).open(path).expect("a file to append to")),
    None => Mode::One(env::var("SWITCH").map_or(0, |number| number.parse().expect("a number"))),
});
static REACHED: [AtomicBool; 1 << 14] = [const { AtomicBool::new(false) }; 1 << 14];

#[inline]
pub fn on(number: u32) -> bool {
    match &*MODE {
        Mode::One(one) => *one == number,
        Mode::Recorded(file) => record(file, number),
    }
}

#[cold]
fn record(mut file: &File, number: u32) -> bool {
    let reached = &REACHED[number as usize];
    if !reached.load(Ordering::Relaxed) && !reached.swap(true, Ordering::Relaxed) {
        file.write_all(format!("{number}\n").as_bytes()).expect("a file that can be written");
    }
    false
}

use super::*;
use crate::data::{Numbers, NumbersMut, Region};
use crate::files::{NpyOutput, Outputs, ZarrOutput};
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

const ROWS: u64 = 6;
const COLS: u64 = 4;

/// As it arrives in another process.
fn sent<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn numbers() -> Vec<f64> {
    (0..ROWS * COLS).map(|at| at as f64).collect()
}

fn npy(path: &Path) -> NpyOutput {
    NpyOutput::create(path, ROWS, Some(COLS), Element::F64, Arc::default()).unwrap()
}

/// In chunks that blocks of two rows share.
fn zarr(path: &Path) -> ZarrOutput {
    ZarrOutput::create(path, ROWS, Some(COLS), (4, 3), Element::F64, Arc::default()).unwrap()
}

fn write(sink: &dyn Sink, rows: std::ops::Range<u64>) {
    let part = &numbers()[(rows.start * COLS) as usize..(rows.end * COLS) as usize];
    let mut scratch = vec![0; sink.scratch(ROWS, COLS, Element::F64) as usize];
    sink.write(&Region::new(rows, 0..COLS), Numbers::F64(part), &mut scratch).unwrap();
}

fn whole(source: &dyn Source) -> Vec<f64> {
    let mut out = vec![0.0; (ROWS * COLS) as usize];
    let mut scratch = vec![0; source.scratch(ROWS, COLS) as usize];
    source.read(&Region::new(0..ROWS, 0..COLS), NumbersMut::F64(&mut out), &mut scratch).unwrap();
    out
}

/// `a.npy` and `a.zarr` in a folder.
fn matrices(folder: &Path) -> [PathBuf; 2] {
    let paths = [folder.join("a.npy"), folder.join("a.zarr")];
    let outputs = Outputs::new();
    write(outputs.add(npy(&paths[0])).as_ref(), 0..ROWS);
    write(outputs.add(zarr(&paths[1])).as_ref(), 0..ROWS);
    outputs.commit().unwrap();
    paths
}

fn spec_of(path: &Path) -> InputSpec {
    open_paths(&[path.into()], u64::MAX, Arc::default()).unwrap().source.spec().unwrap()
}

fn error_of(spec: &InputSpec) -> String {
    open_input(&sent(spec), u64::MAX, Arc::default()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn an_input_is_opened_by_what_another_process_says_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for path in matrices(folder.path()) {
        let source = open_input(&sent(&spec_of(&path)), u64::MAX, Arc::default()).unwrap();
        assert_eq!(whole(source.as_ref()), numbers(), "{}", path.display());
        assert_eq!(source.spec(), Some(spec_of(&path)));
    }
}

#[test]
fn an_input_that_is_not_here_or_is_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in matrices(folder.path()) {
        let spec = spec_of(&path);
        let file = &spec.files[0].path;
        let shape = InputSpec { shape: (COLS, ROWS), ..spec.clone() };
        assert!(error_of(&shape).ends_with("its shape differs"), "{}", error_of(&shape));
        let element = InputSpec { element: Element::F32, ..spec.clone() };
        assert!(error_of(&element).ends_with("its type differs"));
        let mut relative = spec.clone();
        relative.files[0].path = "a.npy".into();
        assert!(error_of(&relative).ends_with("its path is not absolute"));
        let none = InputSpec { files: Vec::new(), ..spec.clone() };
        assert!(open_input(&none, u64::MAX, Arc::default()).is_err());
        let later = SystemTime::UNIX_EPOCH + Duration::new(1, 5);
        File::options().write(true).open(file).unwrap().set_modified(later).unwrap();
        assert!(error_of(&spec).ends_with("its time of change differs"));
        fs::remove_file(file).unwrap();
        assert_eq!(error_of(&spec), format!("there is no {} here: is that folder shared?", file.display()));
    }
}

#[test]
fn names_that_are_not_utf8_cross_the_wire() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let [path, _] = matrices(folder.path());
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.npy"));
    fs::rename(path, &odd).unwrap();
    let source = open_input(&sent(&spec_of(&odd)), u64::MAX, Arc::default()).unwrap();
    assert_eq!(whole(source.as_ref()), numbers());
}

/// The parts of one result, written by two: the one that made it, and one that opened it.
fn written_by_two<O: crate::files::outputs::Unfinished + Sink + 'static>(output: O, path: &Path) {
    let outputs = Outputs::new();
    let mine = outputs.add(output);
    let theirs = open_output(&sent(&mine.spec().unwrap()), Arc::default()).unwrap();
    write(mine.as_ref(), 0..2);
    write(theirs.as_ref(), 2..5);
    write(mine.as_ref(), 5..6);
    theirs.sync().unwrap();
    assert_eq!(theirs.spec(), mine.spec());
    drop(theirs);
    outputs.sync().unwrap();
    outputs.commit().unwrap();
    let source = open_paths(&[path.into()], u64::MAX, Arc::default()).unwrap().source;
    assert_eq!(whole(source.as_ref()), numbers());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_result_is_written_by_many_processes_and_ended_by_its_maker() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (one.path().join("a.npy"), other.path().join("b.zarr"));
    written_by_two(npy(&a), &a);
    written_by_two(zarr(&b), &b);
}

fn refused(spec: &OutputSpec) -> String {
    open_output(&sent(spec), Arc::default()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn only_the_result_in_the_making_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (npy(&folder.path().join("a.npy")), zarr(&folder.path().join("b.zarr")));
    for spec in [Sink::spec(&a).unwrap(), Sink::spec(&b).unwrap()] {
        for other in [
            OutputSpec { rows: ROWS + 1, ..spec.clone() },
            OutputSpec { rows: u64::MAX, ..spec.clone() },
            OutputSpec { cols: None, ..spec.clone() },
            OutputSpec { rows: COLS, cols: Some(ROWS), ..spec.clone() },
            OutputSpec { element: Element::F32, ..spec.clone() },
            OutputSpec { partial: spec.path.clone(), ..spec.clone() },
            OutputSpec { format: OutputFormat::Zarr { chunk: (0, 1) }, ..spec.clone() },
        ] {
            assert!(refused(&other).contains("another file"), "{other:?}: {}", refused(&other));
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let partial = elsewhere.path().join(spec.partial.file_name().unwrap());
        let other = OutputSpec { partial: partial.clone(), ..spec.clone() };
        assert_eq!(
            refused(&other),
            format!("there is no {} here: is that folder shared?", partial.display())
        );
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        std::os::unix::fs::symlink(&spec.partial, &partial).unwrap();
        open_output(&other, Arc::default()).map(|_| ()).unwrap_err();
    }
}

//! HDF5 datasets as input, through the program. Files are made by the crate `hdf5_metno`.

#[path = "support/mod.rs"]
mod support;

use dolmen::array::Element;
use dolmen::files::{open_input, open_paths};
use dolmen::session::{Error, Operation, Session};
use hdf5_metno::filters::deflate_available;
use hdf5_metno::types::{CompoundField, CompoundType, FloatSize, TypeDescriptor, VarLenUnicode};
use hdf5_metno::{Datatype, File, H5Type};
use hdf5_metno_sys::h5t::{H5T_order_t, H5Tset_order};
use ndarray::Array2;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use support::dolmen::{Folder, Outcome};
use support::matrix::Matrix;
use support::npy::Kind;

/// One test at a time: the library locks a file that is being made, and a program that another test starts meanwhile
/// inherits the descriptor and with it the lock.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How elements are stored.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Contiguous,
    Chunked([usize; 2]),
    Gzip([usize; 2]),
}

impl Layout {
    fn available(self) -> bool {
        static SAID: Once = Once::new();
        let available = !matches!(self, Layout::Gzip(_)) || deflate_available();
        if !available {
            // Past the test harness, which keeps what a passing test prints.
            let what = "SKIPPED: HDF5 datasets compressed with gzip (this libhdf5 has no deflate filter)";
            let mut out = std::io::stderr();
            SAID.call_once(|| writeln!(out, "{what}").unwrap());
        }
        available
    }
}

/// Puts a matrix into a file as elements of this type.
fn put<T: H5Type>(file: &File, name: &str, a: &Matrix, convert: fn(f64) -> T, layout: Layout) {
    let values: Vec<T> = a.data.iter().map(|x| convert(*x)).collect();
    let values = Array2::from_shape_vec((a.rows, a.cols), values).unwrap();
    let builder = file.new_dataset::<T>().shape((a.rows, a.cols));
    let builder = match layout {
        Layout::Contiguous => builder.no_chunk(),
        Layout::Chunked([rows, cols]) => builder.chunk((rows, cols)),
        Layout::Gzip([rows, cols]) => builder.chunk((rows, cols)).shuffle().deflate(3),
    };
    builder.create(name).unwrap().write(&values).unwrap();
}

fn make(folder: &Folder, name: &str) -> File {
    File::create(folder.path(name)).unwrap()
}

/// Multiplies by the identity and demands the same numbers.
#[track_caller]
fn check(folder: &Folder, input: &str, a: &Matrix, block: &str, what: &str) {
    folder.put("eye.npy", &Matrix::identity(a.cols));
    folder.ok(&format!("matmul {input} eye.npy --out out.npy --block {block}"));
    assert!(folder.get("out.npy").values == *a, "{what}, block {block}");
}

#[test]
fn each_layout_with_blocks_that_match_chunks_and_others() {
    let _alone = alone();
    for (rows, cols) in [(53, 41), (1, 30), (30, 1), (1, 1)] {
        let chunk = [16.min(rows), 10.min(cols)];
        for layout in
            [Layout::Contiguous, Layout::Chunked(chunk), Layout::Chunked([1, 1]), Layout::Gzip(chunk)]
        {
            if layout.available() {
                let folder = Folder::new();
                let a = Matrix::gaussian(rows, cols, 1);
                put(&make(&folder, "a.h5"), "x", &a, |x| x, layout);
                for block in ["16x10", "32x20", "7", "100", "auto"] {
                    check(&folder, "a.h5", &a, block, &format!("{rows}×{cols} {layout:?}"));
                }
            }
        }
    }
}

#[test]
fn integers_become_f64_and_f32_stays() {
    let _alone = alone();
    let folder = Folder::new();
    let a = Matrix::from_fn(20, 17, |i, j| ((i * 17 + j) % 100) as f64);
    let signed = a.map(|x| x - 50.0);
    let file = make(&folder, "a.hdf5");
    let layout = Layout::Chunked([8, 5]);
    put(&file, "u8", &a, |x| x as u8, layout);
    put(&file, "u16", &a, |x| x as u16, layout);
    put(&file, "u32", &a, |x| x as u32, layout);
    put(&file, "u64", &a, |x| x as u64, layout);
    put(&file, "i8", &signed, |x| x as i8, layout);
    put(&file, "i16", &signed, |x| x as i16, Layout::Contiguous);
    put(&file, "i32", &signed, |x| x as i32, Layout::Contiguous);
    put(&file, "i64", &signed, |x| x as i64, Layout::Contiguous);
    put(&file, "f32", &signed, |x| x as f32, layout);
    drop(file);
    for name in ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"] {
        let a = if name.starts_with('u') { &a } else { &signed };
        check(&folder, &format!("a.hdf5:/{name}"), a, "6", name);
        assert_eq!(folder.get("out.npy").kind, Kind::F64, "{name}");
    }
    folder.ok("svd a.hdf5:/f32 --out out");
    assert_eq!(folder.get("out/s.npy").kind, Kind::F32);
}

#[test]
fn big_endian_elements() {
    let _alone = alone();
    let folder = Folder::new();
    let a = Matrix::gaussian(23, 19, 3);
    let file = make(&folder, "a.h5");
    let kind = Datatype::from_type::<f64>().unwrap();
    hdf5_metno::sync::sync(|| {
        // SAFETY: a type of our own, under the lock of the library.
        let status = unsafe { H5Tset_order(kind.id(), H5T_order_t::H5T_ORDER_BE) };
        assert!(status >= 0);
    });
    let values = Array2::from_shape_vec((a.rows, a.cols), a.data.clone()).unwrap();
    file.new_dataset_builder().empty_as(kind).shape((23, 19)).create("x").unwrap().write(&values).unwrap();
    drop(file);
    let bytes = fs::read(folder.path("a.h5")).unwrap();
    let first = a.data[0].to_be_bytes();
    assert!(bytes.windows(8).any(|window| window == first), "stored with the highest byte first");
    for block in ["8x5", "auto"] {
        check(&folder, "a.h5:x", &a, block, "big endian");
    }
}

#[test]
fn a_vector_is_a_column() {
    let _alone = alone();
    let folder = Folder::new();
    let file = make(&folder, "v.h5");
    let v = Matrix::gaussian(40, 1, 4);
    file.new_dataset::<f64>().shape(40).chunk(7).create("v").unwrap().write(&v.data).unwrap();
    drop(file);
    for block in ["9", "40", "auto"] {
        check(&folder, "v.h5", &v, block, "vector");
    }
}

#[test]
fn chunks_that_were_never_written_are_the_fill_value() {
    let _alone = alone();
    let folder = Folder::new();
    let file = make(&folder, "a.h5");
    file.new_dataset::<f64>().shape((9, 9)).chunk((4, 4)).fill_value(2.5).create("x").unwrap();
    drop(file);
    check(&folder, "a.h5", &Matrix::from_fn(9, 9, |_, _| 2.5), "3x9", "fill value");
}

#[test]
fn the_same_bits_as_from_npy() {
    let _alone = alone();
    let folder = Folder::new();
    let a = Matrix::gaussian(150, 40, 5);
    folder.put("a.npy", &a);
    put(&make(&folder, "a.h5"), "x", &a, |x| x, Layout::Chunked([32, 40]));
    for command in ["qr", "svd", "rsvd --rank 5"] {
        for block in ["64", "17"] {
            folder.ok(&format!("{command} a.npy --out one --block {block} --threads 1"));
            folder.ok(&format!("{command} a.h5 --out two --block {block} --threads 3 --workers 2"));
            let files = folder.contents();
            let mut compared = 0;
            for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("one/") && name.len() > 4) {
                assert!(*bytes == files[&name.replacen("one/", "two/", 1)], "{command}, {block}: {name}");
                compared += 1;
            }
            assert!(compared >= 2, "{command}: results were compared");
        }
    }
}

#[test]
fn automatic_blocks_are_whole_chunks() {
    let _alone = alone();
    let folder = Folder::new();
    let a = Matrix::gaussian(600, 600, 6);
    put(&make(&folder, "a.h5"), "x", &a, |x| x, Layout::Chunked([50, 50]));
    folder.ok("svd a.h5 --out o --report run.json");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path("run.json")).unwrap()).unwrap();
    let rows = report["block"][0].as_u64().unwrap();
    assert!(rows.is_multiple_of(50) || rows == 600, "blocks of {rows} rows");
}

/// What the library needs to decode a chunk is in the bound: a chunk larger than the memory is refused beforehand.
#[test]
fn chunks_count_in_the_bound() {
    let _alone = alone();
    let layout = Layout::Gzip([1000, 1000]);
    if layout.available() {
        let folder = Folder::new();
        let a = Matrix::zeros(1000, 1000);
        put(&make(&folder, "a.h5"), "x", &a, |x| x, layout);
        put(&make(&folder, "b.h5"), "x", &a, |x| x, Layout::Contiguous);
        let words = "--out out.npy --block 100 --threads 1 --memory 40MiB";
        folder.refused(&format!("transpose-add a.h5 {words}"), &["memory"]);
        folder.ok(&format!("transpose-add b.h5 {words}"));
    }
}

#[test]
fn the_dataset_is_found_or_named() {
    let _alone = alone();
    let folder = Folder::new();
    let a = Matrix::gaussian(5, 5, 1);
    let file = make(&folder, "a.h5");
    put(&file, "x", &a, |x| x, Layout::Contiguous);
    file.create_group("deep").unwrap().create_group("er").unwrap();
    file.link_hard("/", "deep/round").unwrap();
    file.new_dataset::<VarLenUnicode>().shape(3).create("names").unwrap();
    drop(file);
    // The only matrix, beside strings and a group that holds itself.
    let line = folder.refused("svd a.h5:/nowhere --out out", &["a.h5:/nowhere", "a.h5:/x", "a.h5:/names"]);
    assert!(line.len() < 800, "{line}");
    folder.refused("svd a.h5:/deep --out out", &["a.h5:/deep"]);
    let file = File::append(folder.path("a.h5")).unwrap();
    file.unlink("deep/round").unwrap();
    drop(file);
    check(&folder, "a.h5", &a, "auto", "the only matrix");
    let file = File::append(folder.path("a.h5")).unwrap();
    put(&file, "deep/er/y", &a, |x| x as f32, Layout::Contiguous);
    drop(file);
    folder.refused("svd a.h5 --out out", &["not clear", "a.h5:/x", "a.h5:/deep/er/y"]);
    for name in ["x", "/x", "/deep/er/y"] {
        folder.ok(&format!("svd a.h5:{name} --out out"));
    }
    drop(make(&folder, "empty.h5"));
    folder.refused("svd empty.h5 --out out", &["empty.h5", "no dataset"]);
}

#[test]
fn types_dimensions_and_company_that_do_not_do() {
    let _alone = alone();
    let folder = Folder::new();
    let file = make(&folder, "a.h5");
    file.new_dataset::<VarLenUnicode>().shape(3).create("text").unwrap();
    let field = |name, at| CompoundField::new(name, TypeDescriptor::Float(FloatSize::U8), 8 * at, at);
    let pair = CompoundType { fields: vec![field("re", 0), field("im", 1)], size: 16 };
    let pairs = file.new_dataset_builder().empty_as(TypeDescriptor::Compound(pair));
    pairs.shape((3, 3)).create("pairs").unwrap();
    file.new_dataset::<f64>().shape((3, 3, 3)).create("cube").unwrap();
    file.new_dataset::<f64>().create("point").unwrap();
    put(&file, "x", &Matrix::gaussian(5, 5, 1), |x| x, Layout::Contiguous);
    drop(file);
    folder.refused("svd a.h5:/text --out out", &["a.h5:/text", "unicode"]);
    folder.refused("svd a.h5:/pairs --out out", &["a.h5:/pairs", "compound"]);
    folder.refused("svd a.h5:/cube --out out", &["a.h5:/cube", "3 dimensions"]);
    folder.refused("svd a.h5:/point --out out", &["a.h5:/point", "0 dimensions"]);
    folder.put("a.npy", &Matrix::gaussian(5, 5, 1));
    folder.refused("svd a.npy a.h5:/x --out out", &["a.h5:/x", "alone"]);
    folder.refused("svd nowhere.h5 --out out", &["nowhere.h5", "no such file"]);
    folder.refused("svd nowhere.h5:/x --out out", &["nowhere.h5", "no such file"]);
}

#[test]
fn files_that_are_cut_off_or_something_else() {
    let _alone = alone();
    let folder = Folder::new();
    put(&make(&folder, "a.h5"), "x", &Matrix::gaussian(60, 60, 1), |x| x, Layout::Contiguous);
    let whole = fs::read(folder.path("a.h5")).unwrap();
    for len in [0, 7, 100, 2000, whole.len() - 1] {
        folder.write("cut.h5", &whole[..len]);
        folder.refused("transpose-add cut.h5 --out out.npy", &["cut.h5", "not an HDF5 file"]);
    }
    folder.write("text.h5", "1,2,3\n".repeat(500));
    folder.refused("svd text.h5 --out out", &["text.h5", "not an HDF5 file"]);
}

#[test]
fn a_name_that_is_not_utf8_and_a_named_pipe() {
    let _alone = alone();
    let folder = Folder::new();
    let a = Matrix::gaussian(20, 5, 1);
    put(&make(&folder, "a.h5"), "x", &a, |x| x, Layout::Contiguous);
    fs::rename(folder.path("a.h5"), folder.path("").join(OsStr::from_bytes(b"a\xff.h5"))).unwrap();
    folder.put("eye.npy", &Matrix::identity(5));
    for name in [&b"a\xff.h5"[..], b"a\xff.h5:/x", b"a?.h5"] {
        let mut command = folder.command("matmul");
        let words = [OsStr::from_bytes(name), "eye.npy".as_ref(), "--out".as_ref(), "out.npy".as_ref()];
        let out = Outcome::of(command.args(words).output().unwrap());
        assert_eq!(out.code, Some(0), "{out:?}");
        assert!(folder.get("out.npy").values == a);
    }
    assert!(Command::new("mkfifo").arg(folder.path("pipe.h5")).status().unwrap().success());
    let out = folder.run("svd pipe.h5 --out out");
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.contains("pipe.h5"), "{out:?}");
}

#[test]
fn a_file_that_has_changed_by_the_end_of_a_run_is_an_error() {
    let _alone = alone();
    let folder = Folder::new();
    put(&make(&folder, "a.h5"), "x", &Matrix::gaussian(20, 5, 1), |x| x, Layout::Contiguous);
    let session = Session::builder().threads(1).build().unwrap();
    let a = Operation::Qr(session.from_files(&[folder.path("a.h5")]).unwrap());
    session.run(&a).unwrap();
    let file = fs::File::options().write(true).open(folder.path("a.h5")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let error = session.run(&a).err();
    assert!(
        matches!(&error, Some(Error::Run(why)) if why.contains("a.h5") && why.contains("changed")),
        "{error:?}"
    );
}

/// The library finds out while it reads: the run fails with one line and leaves nothing behind.
#[test]
fn another_process_opens_the_dataset_that_was_meant() {
    let _alone = alone();
    let folder = Folder::new();
    let a = Matrix::gaussian(12, 5, 3);
    let file = make(&folder, "a.h5");
    put(&file, "first", &a, |x| x, Layout::Contiguous);
    put(&file, "second", &Matrix::gaussian(7, 5, 4), |x| x as f32, Layout::Contiguous);
    drop(file);
    let name = PathBuf::from(format!("{}:/second", folder.path("a.h5").display()));
    let spec = open_paths(&[name], u64::MAX, Arc::default()).unwrap().source.spec().unwrap();
    assert_eq!((spec.shape, spec.element), ((7, 5), Element::F32));
    let open = || open_input(&spec, u64::MAX, Arc::default());
    assert_eq!(open().unwrap().spec().as_ref(), Some(&spec));
    fs::remove_file(folder.path("a.h5")).unwrap();
    assert!(open().map(|_| ()).unwrap_err().to_string().ends_with("is that folder shared?"));
    put(&make(&folder, "a.h5"), "second", &a, |x| x, Layout::Contiguous);
    assert!(open().map(|_| ()).unwrap_err().to_string().contains("another file"));
}

#[test]
fn a_damaged_chunk_fails_the_run() {
    let _alone = alone();
    let folder = Folder::new();
    let a = Matrix::gaussian(40, 40, 1);
    let values = Array2::from_shape_vec((40, 40), a.data.clone()).unwrap();
    let file = make(&folder, "a.h5");
    let dataset = file.new_dataset::<f64>().shape((40, 40)).chunk((8, 8)).fletcher32().create("x").unwrap();
    dataset.write(&values).unwrap();
    drop((dataset, file));
    check(&folder, "a.h5", &a, "8", "checksums");
    let mut bytes = fs::read(folder.path("a.h5")).unwrap();
    let element = a.data[17 * 40 + 17].to_ne_bytes();
    let at = bytes.windows(8).position(|window| window == element).unwrap();
    bytes[at] ^= 1;
    folder.write("a.h5", bytes);
    let before = folder.contents();
    let outcome = folder.run("transpose-add a.h5 --out fresh.npy --block 8");
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("a.h5:/x"), "{}", outcome.stderr);
    assert!(folder.contents() == before, "files left behind");
}

#[test]
fn what_is_not_finite_is_named_with_dataset_row_and_column() {
    let _alone = alone();
    let folder = Folder::new();
    let mut a = Matrix::gaussian(40, 40, 4);
    a.data[37 * 40 + 5] = f64::NAN;
    put(&make(&folder, "bad.h5"), "x", &a, |x| x, Layout::Chunked([16, 7]));
    for block in ["16x7", "9", "100"] {
        let command = format!("transpose-add bad.h5 --out out.npy --block {block}");
        folder.refused(&command, &["bad.h5:/x", "row 37", "column 5"]);
    }
}

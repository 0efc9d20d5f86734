//! f32 and f64 together, as NumPy computes them.

use super::session;
use dolmen::array::{Array, BlockSize, Element};
use dolmen::session::Operation;
use ndarray::Array2;

fn narrow(seed: u64) -> Array2<f32> {
    let mut a = Array2::zeros((30, 30));
    kernels::random::fill_normal(seed, 0, 0, a.view_mut());
    a
}

fn wide(seed: u64) -> Array2<f64> {
    let mut a = Array2::zeros((30, 30));
    kernels::random::fill_normal(seed, 0, 0, a.view_mut());
    a
}

#[test]
fn f32_and_f64_make_f64() {
    for block in [BlockSize::Auto, BlockSize::Square(7), BlockSize::RowsCols(4, 9)] {
        let session = session(block);
        let (a, b) = (narrow(1), wide(2));
        let (x, y) = (session.from_array(a.clone()), session.from_array(b.clone()));
        let a_wide = a.mapv(f64::from);
        assert_eq!((&x + &y).element(), Ok(Element::F64));
        assert_eq!(session.compute::<f64>(&(&x + &y)).unwrap(), &a_wide + &b);
        assert_eq!(session.compute::<f64>(&(&y - &x.t())).unwrap(), &b - &a_wide.t());
        // Rounded in f32 first, as in NumPy.
        let doubled = a.mapv(|v| v * 3.1_f32 + 0.1_f32).mapv(f64::from);
        assert_eq!(
            session.compute::<f64>(&(&(&x * f64::from(3.1_f32) + f64::from(0.1_f32)) * &y)).unwrap(),
            &doubled * &b
        );
        let reference = session.from_array(a_wide);
        for (mixed, same) in [
            (x.dot(&y), reference.dot(&y)),
            (y.dot(&x.t()), y.dot(&reference.t())),
            ((&x * &y).sum(), (&reference * &y).sum()),
            (x.as_type(Element::F64).rows(3..20).norm(), reference.rows(3..20).norm()),
        ] {
            let mixed = session.compute::<f64>(&mixed).unwrap();
            assert_eq!(mixed, session.compute::<f64>(&same).unwrap(), "{block:?}");
        }
    }
}

#[test]
fn conversions_round_to_the_nearest() {
    let session = session(BlockSize::Square(8));
    let a = wide(3);
    let x = session.from_array(a.clone());
    let rounded = a.mapv(|v| v as f32);
    assert_eq!(session.compute::<f32>(&x.as_type(Element::F32)).unwrap(), rounded);
    assert_eq!(session.compute::<f32>(&(&x + 0.0).t().as_type(Element::F32)).unwrap(), rounded.t());
    let back = x.as_type(Element::F32).as_type(Element::F64);
    assert_eq!(session.compute::<f64>(&back).unwrap(), rounded.mapv(f64::from));
    let single = Array::normal(30, 30, 4, Element::F32);
    let expected = session.compute::<f32>(&single).unwrap().mapv(f64::from);
    assert_eq!(session.compute::<f64>(&single.as_type(Element::F64)).unwrap(), expected);
    assert_eq!(session.compute::<f64>(&(&single.t() + &x)).unwrap(), &expected.t() + &a);
    let tenth = Array::constant(2, 2, 0.1, Element::F32).as_type(Element::F64);
    assert_eq!(session.compute::<f64>(&tenth).unwrap()[(1, 1)], f64::from(0.1_f32));
}

#[test]
fn what_is_one_type_stays_it() {
    let x = Array::normal(4, 4, 1, Element::F32);
    assert_eq!((&x * 2.0 + 1.0).dot(&x).element(), Ok(Element::F32));
    assert_eq!(x.as_type(Element::F32).element(), Ok(Element::F32));
}

#[test]
fn an_input_is_read_as_the_type_that_is_wanted() {
    let session = session(BlockSize::Square(8));
    let x = session.from_array(narrow(5));
    let product = x.as_type(Element::F64).dot(&x.t().as_type(Element::F64));
    let preview = session.preview(&Operation::Compute(product), None).unwrap();
    let names: Vec<_> = preview.stages.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, ["read", "gemm"]);
    let svd = session.svd::<f64>(&x.as_type(Element::F64)).unwrap();
    let single = session.svd::<f32>(&x).unwrap();
    assert!((svd.s[0] - f64::from(single.s[0])).abs() < 1e-4);
}

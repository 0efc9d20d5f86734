//! NaN and infinities are named, wherever they are.

use dolmen::array::{Array, BlockSize, Element};
use dolmen::session::{Error, Operation, RsvdOptions, Session};
use ndarray::Array2;

fn operations(a: &Array) -> Vec<Operation> {
    let (m, n) = a.shape().expect("a shape");
    let ones = Array::constant(n, 3, 1.0, a.element().expect("a type"));
    vec![
        Operation::Compute(a + a),
        Operation::Compute(a.dot(&ones)),
        Operation::Compute(a.t().dot(&Array::constant(m, 3, 1.0, a.element().expect("a type")))),
        Operation::Compute(a.sum()),
        Operation::Compute(a.t().norm()),
        Operation::Qr(a.clone()),
        Operation::Qr(a.t()),
        Operation::Svd { a: a.clone(), values_only: false },
        Operation::Svd { a: a.t(), values_only: true },
        Operation::Rsvd { a: a.clone(), options: RsvdOptions::new(2) },
        Operation::Rsvd { a: a.t(), options: RsvdOptions { power_iters: 0, ..RsvdOptions::new(2) } },
    ]
}

#[test]
fn nan_and_infinity_are_named_by_row_and_column() {
    let mut checked = 0;
    for block in [7, 64] {
        let session =
            Session::builder().threads(2).memory(1 << 28).block(BlockSize::Square(block)).build().unwrap();
        for (m, n) in [(40, 12), (12, 40), (13, 13)] {
            for (row, col) in [(0, 0), (m - 1, n - 1), (m / 2, 1), (m - 1, 0), (7, n - 2)] {
                for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                    let a = Array2::from_shape_fn((m, n), |at| if at == (row, col) { bad } else { 1.0 });
                    let single = session.from_array(a.mapv(|x| x as f32));
                    assert_eq!(single.element().unwrap(), Element::F32);
                    for x in [session.from_array(a), single] {
                        for operation in operations(&x) {
                            let error = session.run(&operation).expect_err("not finite");
                            let place = format!("row {row}, column {col} is");
                            assert!(error.to_string().contains(&place), "{operation:?}: {error}");
                            assert!(matches!(error, Error::Request(_)), "{operation:?}: {error:?}");
                            checked += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(checked, 2 * 3 * 5 * 3 * 2 * 11);
}

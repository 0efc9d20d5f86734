//! Matrices without rows or without columns: results are empty, products over nothing are zero.

use crate::orthogonal::session;
use dolmen::array::{Array, BlockSize, Element};
use dolmen::session::{RsvdOptions, Session};
use ndarray::Array2;

const SHAPES: [(usize, usize); 5] = [(0, 0), (0, 5), (5, 0), (0, 1), (1, 0)];

fn both(session: &Session, m: usize, n: usize) -> [Array; 2] {
    [session.from_array(Array2::<f64>::zeros((m, n))), Array::normal(m as u64, n as u64, 3, Element::F64)]
}

#[test]
fn factors_are_empty() {
    for block in [1, 64] {
        let session = session(block, 2);
        for (m, n) in SHAPES {
            for a in both(&session, m, n) {
                let qr = session.qr::<f64>(&a).unwrap();
                assert_eq!((qr.q.dim(), qr.r.dim()), ((m, 0), (0, n)), "QR {m}×{n}");
                let svd = session.svd::<f64>(&a).unwrap();
                assert_eq!((svd.u.dim(), svd.s.dim(), svd.vt.dim()), ((m, 0), 0, (0, n)), "SVD {m}×{n}");
                assert_eq!(session.singular_values::<f64>(&a).unwrap().len(), 0);
                let message = session.rsvd::<f64>(&a, RsvdOptions::new(1)).unwrap_err().to_string();
                assert!(message.contains("rank 1") && message.contains(&format!("{m}x{n}")), "{message}");
            }
        }
    }
}

#[test]
fn products_and_sums_over_nothing_are_zero() {
    for block in [BlockSize::Auto, BlockSize::Square(2), BlockSize::RowsCols(3, 100)] {
        let session = Session::builder().threads(2).memory(1 << 28).block(block).build().unwrap();
        for (m, n) in SHAPES {
            for a in both(&session, m, n) {
                let zeros = |m: usize, n: usize| Array2::<f64>::zeros((m, n));
                assert_eq!(session.compute::<f64>(&a).unwrap(), zeros(m, n));
                assert_eq!(session.compute::<f64>(&((&a + 1.0) * &a)).unwrap(), zeros(m, n));
                assert_eq!(session.compute::<f64>(&a.t()).unwrap(), zeros(n, m));
                assert_eq!(session.matmul::<f64>(&a, &a.t()).unwrap(), zeros(m, m));
                assert_eq!(session.matmul::<f64>(&a.t(), &a).unwrap(), zeros(n, n));
                let b = Array::constant(n as u64, 4, 2.0, Element::F64);
                assert_eq!(session.matmul::<f64>(&a, &b).unwrap(), zeros(m, 4));
                assert_eq!(session.compute::<f64>(&(&a.dot(&b) + 1.0)).unwrap(), zeros(m, 4) + 1.0);
                assert_eq!(session.compute::<f64>(&a.sum()).unwrap(), zeros(1, 1));
                assert_eq!(session.compute::<f64>(&a.norm()).unwrap(), zeros(1, 1));
                assert_eq!(session.compute::<f64>(&a.rows(0..0)).unwrap(), zeros(0, n));
                if m == n {
                    assert_eq!(session.transpose_add::<f64>(&a).unwrap(), zeros(m, n));
                }
            }
        }
        let a = Array::normal(9, 4, 1, Element::F64);
        for at in [0, 5, 9] {
            assert_eq!(session.compute::<f64>(&a.rows(at..at)).unwrap().dim(), (0, 4));
            assert_eq!(session.svd::<f64>(&a.rows(at..at)).unwrap().vt.dim(), (0, 4));
        }
    }
}

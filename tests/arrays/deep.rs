//! Expressions deeper than a stack, and ones whose parts are used again and again.

use super::{nodes, session, stages};
use dolmen::array::{Array, BlockSize, Element};
use ndarray::Array2;

const DEEP: u64 = 200_000;

fn one(value: f64) -> Array {
    Array::constant(1, 1, value, Element::F64)
}

#[test]
fn deep_elementwise_expressions_are_computed() {
    let session = session(BlockSize::Auto);
    let x = session.from_array(Array2::<f64>::zeros((2, 3)));
    let (mut left, mut turned) = (x.clone(), x.clone());
    for _ in 0..DEEP {
        left = left + 1.0;
        turned = (turned + 1.0).t();
    }
    for deep in [&turned, &left.rows(1..2).cols(0..2)] {
        let value = session.compute::<f64>(deep).unwrap();
        assert!(value.iter().all(|x| *x == DEEP as f64));
    }
    assert!(stages(&session, &left) < DEEP as usize / 100, "many operations go into one stage");
}

/// Each operand waits for all behind it: with a stack of operands this would take a tile for each.
#[test]
fn expressions_nested_to_the_right_are_computed() {
    let session = session(BlockSize::Auto);
    let x = session.from_array(Array2::<f64>::ones((2, 3)));
    let mut sum = x.clone();
    for _ in 0..DEEP / 10 {
        sum = &x + &sum;
    }
    assert_eq!(session.compute::<f64>(&sum).unwrap()[(1, 2)], (DEEP / 10 + 1) as f64);
}

#[test]
fn deep_products_are_computed() {
    let session = session(BlockSize::Auto);
    let x = session.from_array(Array2::from_shape_vec((2, 2), vec![0.0, 1.0, 1.0, 0.0]).unwrap());
    let mut product = x.clone();
    for _ in 0..DEEP / 10 {
        product = product.dot(&x);
    }
    assert_eq!(session.compute::<f64>(&product).unwrap()[(0, 1)], 1.0);
    let mut sums = one(1.0);
    for _ in 0..DEEP / 10 {
        sums = sums.sum();
    }
    assert_eq!(session.compute::<f64>(&sums).unwrap()[(0, 0)], 1.0);
}

/// Building and dropping cost a stack frame for each operation at most once.
#[test]
fn very_deep_expressions_can_be_built_sliced_shown_and_dropped() {
    let x = Array::normal(3, 3, 1, Element::F64);
    let mut deep = x.clone();
    for _ in 0..DEEP {
        deep = (&deep.t().dot(&x) - &x).rows(0..3).as_type(Element::F32).as_type(Element::F64);
    }
    assert!(format!("{deep:?}").len() < 100);
    assert_eq!(deep.rows(0..1).shape(), Ok((1, 3)));
}

/// Many different matrices in one sum: a pass takes a few of them, so that memory need not hold a block of each.
#[test]
fn wide_expressions_need_no_more_memory_than_narrow_ones() {
    let session = session(BlockSize::Square(64));
    let sum = |count: u64| {
        let terms = (0..count).map(|_| session.from_array(Array2::<f64>::ones((64, 64))));
        terms.reduce(|sum, term| sum + term).unwrap()
    };
    let memory = |array: Array| {
        let operation = dolmen::session::Operation::Compute(array);
        session.preview(&operation, None).unwrap().smallest_memory
    };
    assert_eq!(session.compute::<f64>(&sum(100)).unwrap()[(63, 63)], 100.0);
    assert!(memory(sum(100)) <= 2 * memory(sum(16)));
}

fn doubled(mut array: Array, times: usize, with: impl Fn(&Array) -> Array) -> Array {
    for _ in 0..times {
        array = &array + &with(&array);
    }
    array
}

#[test]
fn what_is_used_again_and_again_is_seen_once() {
    let session = session(BlockSize::Square(2));
    let x = session.from_array(Array2::<f64>::ones((5, 5)));
    let product = x.dot(&x);
    let cases = [
        doubled(x.clone(), 40, Array::clone),
        doubled(x.clone(), 40, Array::t),
        doubled(product.clone(), 40, Array::clone),
        doubled(product, 40, Array::t),
    ];
    for (case, array) in cases.iter().enumerate() {
        let first = if case < 2 { 1.0 } else { 5.0 };
        let expected = first * 2_f64.powi(40);
        for part in [array.clone(), array.rows(1..4), array.cols(0..3).rows(2..3)] {
            let value = session.compute::<f64>(&part).unwrap();
            assert!(value.iter().all(|x| *x == expected), "case {case}");
            assert!(stages(&session, &part) <= nodes(&part) + 4, "case {case}");
        }
    }
}

/// A transpose that is used twice is no second use of what it transposes.
#[test]
fn what_is_used_through_one_transpose_is_seen_once() {
    let session = session(BlockSize::Auto);
    let mut x = session.from_array(Array2::<f64>::ones((3, 3)));
    for _ in 0..40 {
        let turned = (&x * 1.0).t();
        x = &turned + &turned;
    }
    assert_eq!(session.compute::<f64>(&x).unwrap()[(2, 0)], 2_f64.powi(40));
    assert!(stages(&session, &x) <= nodes(&x));
}

#[test]
fn a_product_that_slices_share_is_made_once() {
    let session = session(BlockSize::Square(4));
    let x = session.from_array(Array2::<f64>::ones((8, 8)));
    let shared = x.dot(&x);
    let part = (&shared + &(&shared * 2.0)).rows(2..7);
    let preview = session.preview(&dolmen::session::Operation::Compute(part), None).unwrap();
    let products = preview.stages.iter().filter(|(name, ..)| *name == "gemm").count();
    assert_eq!(products, 1);
}

/// Each level is wanted in twice as many parts as the one above: computed, or refused for that reason.
#[test]
fn slices_that_overlap_in_many_ways_are_refused() {
    let session = session(BlockSize::Auto);
    let rows = 1 << 40;
    let mut x = Array::constant(rows, 1, 1.0, Element::F64);
    let mut length = rows;
    for level in 0..39 {
        let shift = 1 << level;
        length -= shift;
        x = &x.rows(0..length) + &x.rows(shift..length + shift);
    }
    let message = session.compute::<f64>(&x.rows(0..1)).unwrap_err().to_string();
    assert!(message.contains("compute a shared part first"), "{message}");
}

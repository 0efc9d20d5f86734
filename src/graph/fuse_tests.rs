use crate::array::{Array, Axis, BlockGrid, Element, Fill, Input, InputId, Origin};
use crate::graph::kinds::{Map, MapOp, Operand};
use crate::graph::{Kind, Lowering, Program, ProgramBuilder};
use std::sync::Arc;

fn input(number: u64) -> Array {
    let input = Input::new(InputId(number), Arc::new(()), false);
    Array::source(Origin::Input(input), 8, 8, Element::F64)
}

fn lowered(array: &Array) -> Program {
    let (rows, cols) = array.shape().unwrap();
    let mut builder = ProgramBuilder::default();
    let grid = BlockGrid::new(Axis::new(rows, 4), Axis::new(cols, 4));
    let access = Lowering::new(&mut builder, 4).lower(array, grid).unwrap();
    builder.keep(access.stage);
    builder.finish()
}

fn maps(program: &Program) -> Vec<Map> {
    let map = |kind: &Kind| match kind {
        Kind::Map(map) => Some(map.clone()),
        _ => None,
    };
    program.stages().iter().filter_map(|stage| map(&stage.kind)).collect()
}

/// The operations of each pass.
fn passes(array: &Array) -> Vec<usize> {
    maps(&lowered(array)).iter().map(|map| map.ops.len()).collect()
}

fn sum(arrays: impl IntoIterator<Item = Array>) -> Array {
    arrays.into_iter().reduce(|sum, array| &sum + &array).expect("at least one")
}

#[test]
fn an_expression_is_one_pass() {
    let (a, b) = (input(0), input(1));
    let [map] = &maps(&lowered(&(&(&(&a + 3.0) * 2.0) - &-&b)))[..] else { panic!("more than one pass") };
    let load = MapOp::Load;
    let numbers = [load(0), MapOp::Scalar(3.0), MapOp::Add, MapOp::Scalar(2.0), MapOp::Mul];
    assert_eq!(map.ops, [&numbers[..], &[load(1), MapOp::Neg, MapOp::Sub]].concat());
}

#[test]
fn what_is_used_twice_is_a_pass_of_its_own() {
    let (a, b) = (input(0), input(1));
    let both = &a + &b;
    assert_eq!(passes(&(&(&both * &a) - &both.t())), [3, 5]);
    assert_eq!(passes(&(&(&both * &a) - &b)), [7]);
}

#[test]
fn a_pass_has_so_many_operations_at_most() {
    let plus = |times| (0..times).fold(input(0), |array, _| &array + 1.0);
    assert_eq!(passes(&plus(127)), [255]);
    assert_eq!(passes(&plus(150)), [255, 1 + 2 * 23]);
    let negative = |times| (0..times).fold(input(0), |array, _| -&array);
    assert_eq!(passes(&negative(255)), [256]);
    assert_eq!(passes(&negative(256)), [256, 2]);
    // The larger part is a pass of its own.
    assert_eq!(passes(&(&plus(100) - &plus(60))), [201, 123]);
    assert_eq!(passes(&(&plus(60) - &plus(100))), [201, 123]);
    assert_eq!(passes(&(&plus(126) - &input(0))), [255]);
    assert_eq!(passes(&(&input(0) - &plus(127))), [255, 3]);
    // Of two alike it is the second.
    let alike = &plus(120) - &plus(120).t();
    assert_eq!(passes(&alike), [241, 243]);
    let last = maps(&lowered(&alike)).pop().expect("a pass");
    assert_eq!(last.ops[1], MapOp::Scalar(1.0));
}

#[test]
fn a_pass_takes_so_many_matrices_at_most() {
    assert_eq!(passes(&sum((0..16).map(input))), [31]);
    assert_eq!(passes(&sum((0..20).map(input))), [31, 9]);
    let one = input(0);
    assert_eq!(passes(&sum((0..20).map(|_| one.clone()))), [39], "it is loaded once");
    // A matrix and its transpose are two.
    let inputs: Vec<Array> = (0..8).map(input).collect();
    let both = || inputs.iter().flat_map(|array| [array.clone(), array.t()]);
    let all = sum(both());
    assert_eq!(passes(&(&all.t() + &inputs[3])), [33]);
    assert_eq!(passes(&(&all.t() + &input(8))), [31, 3]);
}

#[test]
fn a_pass_has_so_many_numbers_at_hand_at_most() {
    let one = input(0);
    let nested = |count| (1..count).fold(one.clone(), |array, _| &one + &array);
    assert_eq!(passes(&nested(16)), [31]);
    assert_eq!(passes(&nested(20)), [31, 9]);
}

#[test]
fn an_input_is_read_in_the_type_that_is_wanted() {
    let names = |array: &Array| lowered(array).stages().iter().map(|s| s.kind.name()).collect::<Vec<_>>();
    let single = input(0).as_type(Element::F32);
    assert_eq!(names(&single), ["read"]);
    assert_eq!(lowered(&single).stages()[0].element, Element::F32);
    let both = &single + &input(1).as_type(Element::F32);
    let is_read = |operand: &Operand| matches!(operand, Operand::Block { .. });
    assert!(maps(&lowered(&both)).iter().all(|map| map.operands.iter().all(is_read)));
    let made = (&input(0) + 1.0).as_type(Element::F32);
    assert_eq!(names(&made), ["read", "map", "map"]);
    let last = maps(&lowered(&made)).pop().expect("a pass");
    assert!(matches!(last.operands[..], [Operand::Converted { from: Element::F64, .. }]), "{last:?}");
}

#[test]
fn what_is_constant_is_made_where_it_is_used() {
    let ones = Array::source(Origin::Fill(Fill::Constant(1.0)), 8, 8, Element::F64);
    let program = lowered(&(&input(0) + &ones.t()));
    assert_eq!(program.stages().len(), 2);
    let [map] = &maps(&program)[..] else { panic!("more than one pass") };
    assert!(matches!(map.operands[..], [Operand::Block { .. }, Operand::Fill { transposed: true, .. }]));
}

#[test]
fn nothing_is_read_for_a_sum_over_nothing() {
    let names = |array: &Array| lowered(array).stages().iter().map(|s| s.kind.name()).collect::<Vec<_>>();
    let nothing = Input::new(InputId(1), Arc::new(()), false);
    let nothing = Array::source(Origin::Input(nothing), 0, 8, Element::F64);
    for empty in [input(0).rows(0..0), input(0).cols(3..3), nothing.clone(), &nothing + 1.0] {
        assert!(!names(&empty.sum()).contains(&"read"));
    }
    assert!(names(&input(0).sum()).contains(&"read"));
}

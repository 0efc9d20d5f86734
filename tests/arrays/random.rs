//! Random expressions with sharing, slices, transposes and both types. All numbers are small integers, so that every
//! order of the operations gives the same bits and results must be equal.

use super::rng::Rng;
use super::{nodes, session};
use dolmen::array::{Array, BlockSize, Element};
use dolmen::session::{Error, Operation, Session};
use ndarray::{Array2, s};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Sums and products up to here are exact in f32.
const LARGEST: f64 = (1 << 20) as f64;
/// An operation becomes at most so many stages: a slice of it may be wanted in a few ways, each in a few kinds of
/// blocks.
const STAGES_PER_NODE: usize = 9;

/// A lazy array and what it is.
#[derive(Clone)]
struct Known {
    array: Array,
    value: Array2<f64>,
}

fn largest(value: &Array2<f64>) -> f64 {
    value.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()))
}

struct Formulas<'a> {
    rng: &'a mut Rng,
    session: &'a Session,
    known: Vec<Known>,
}

impl Formulas<'_> {
    fn source(&mut self) -> Known {
        let shape = (self.rng.range(1, 6) as usize, self.rng.range(1, 6) as usize);
        let value = Array2::from_shape_simple_fn(shape, || self.rng.range(0, 4) as f64 - 2.0);
        let (rows, cols) = (shape.0 as u64, shape.1 as u64);
        match self.rng.below(4) {
            0 => {
                let array = Array::constant(rows, cols, value[(0, 0)], Element::F64);
                Known { array, value: Array2::from_elem(shape, value[(0, 0)]) }
            }
            1 => Known { array: self.session.from_array(value.mapv(|x| x as f32)), value },
            _ => Known { array: self.session.from_array(value.clone()), value },
        }
    }

    fn any(&mut self) -> Known {
        // Mostly late ones, so that expressions get deep.
        let from = if self.rng.chance(60) { self.known.len().saturating_sub(4) } else { 0 };
        self.known[self.rng.range(from as u64, self.known.len() as u64 - 1) as usize].clone()
    }

    /// One that fits `wanted`, transposed if need be, or any if none does.
    fn fitting(&mut self, wanted: impl Fn((usize, usize)) -> bool) -> Known {
        let flip = |known: &Known| Known { array: known.array.t(), value: known.value.t().to_owned() };
        let straight = self.known.iter().filter(|known| wanted(known.value.dim())).cloned();
        let flipped = self.known.iter().filter(|known| wanted(known.value.t().dim())).map(flip);
        let fits: Vec<Known> = straight.chain(flipped).collect();
        if fits.is_empty() { self.any() } else { self.rng.pick(&fits).clone() }
    }

    fn slice(&mut self, of: Known) -> Known {
        let (rows, cols) = of.value.dim();
        let by_rows = self.rng.chance(50);
        let end = self.rng.range(0, if by_rows { rows } else { cols } as u64);
        let start = self.rng.range(0, end);
        let part = start as usize..end as usize;
        if by_rows {
            Known { array: of.array.rows(start..end), value: of.value.slice(s![part, ..]).to_owned() }
        } else {
            Known { array: of.array.cols(start..end), value: of.value.slice(s![.., part]).to_owned() }
        }
    }

    fn elementwise(&mut self, a: Known) -> Option<Known> {
        let b = self.fitting(|shape| shape == a.value.dim());
        if a.value.dim() != b.value.dim() {
            assert!((&a.array + &b.array).shape().is_err());
            return None;
        }
        Some(match self.rng.below(3) {
            0 => Known { array: &a.array + &b.array, value: &a.value + &b.value },
            1 => Known { array: &a.array - &b.array, value: &a.value - &b.value },
            _ => Known { array: &a.array * &b.array, value: &a.value * &b.value },
        })
    }

    fn product(&mut self, a: Known) -> Option<Known> {
        let inner = a.value.ncols();
        let b = self.fitting(|(rows, _)| rows == inner);
        if b.value.nrows() != inner {
            assert!(a.array.dot(&b.array).shape().is_err());
            return None;
        }
        let exact = inner as f64 * largest(&a.value) * largest(&b.value) <= LARGEST;
        exact.then(|| Known { array: a.array.dot(&b.array), value: a.value.dot(&b.value) })
    }

    fn next(&mut self) -> Option<Known> {
        let a = self.any();
        let number = self.rng.range(0, 4) as f64 - 2.0;
        Some(match self.rng.below(12) {
            0 => self.source(),
            1 => Known { array: &a.array + number, value: a.value + number },
            2 => Known { array: &a.array * number, value: a.value * number },
            3 => Known { array: -&a.array, value: -a.value },
            4 => Known { array: a.array.t(), value: a.value.t().to_owned() },
            5 | 6 => self.slice(a),
            7 | 8 => self.elementwise(a)?,
            9 => self.product(a)?,
            10 if a.value.len() as f64 * largest(&a.value) <= LARGEST => {
                Known { array: a.array.sum(), value: Array2::from_elem((1, 1), a.value.sum()) }
            }
            _ => {
                let element = if self.rng.chance(50) { Element::F32 } else { Element::F64 };
                Known { array: a.array.as_type(element), value: a.value }
            }
        })
    }

    fn grow(&mut self, steps: u64) {
        for _ in 0..3 {
            let source = self.source();
            self.known.push(source);
        }
        for _ in 0..steps {
            let next = self.next().filter(|known| largest(&known.value) <= LARGEST);
            self.known.extend(next);
        }
    }
}

/// The value, whatever its type, or a refusal.
fn computed(session: &Session, array: &Array) -> Result<Array2<f64>, Error> {
    let mut results = session.run(&Operation::Compute(array.clone()))?;
    Ok(results.take("result")?.to_f64())
}

fn check(session: &Session, known: &Known) {
    let (rows, cols) = known.value.dim();
    assert_eq!(known.array.shape(), Ok((rows as u64, cols as u64)));
    match computed(session, &known.array) {
        Ok(value) => assert_eq!(value, known.value),
        Err(error) => {
            assert!(
                matches!(&error, Error::Request(message) if message.contains("compute a shared part first"))
            );
            return;
        }
    }
    let preview = session.preview(&Operation::Compute(known.array.clone()), None).unwrap();
    let (stages, nodes) = (preview.stages.len(), nodes(&known.array));
    assert!(stages <= STAGES_PER_NODE * nodes + 8, "{stages} stages for {nodes} nodes");
}

#[test]
fn random_expressions_are_what_numpy_would_make_of_them() {
    let one = std::env::var("DOLMEN_SEED").ok().and_then(|seed| seed.parse().ok());
    let blocks = [
        BlockSize::Auto,
        BlockSize::Square(1),
        BlockSize::Square(3),
        BlockSize::RowsCols(2, 5),
        BlockSize::RowsCols(1 << 20, 1),
    ];
    let sessions = blocks.map(session);
    for seed in one.map_or(0..300, |seed| seed..seed + 1) {
        let mut rng = Rng::new(seed);
        let session = rng.pick(&sessions).clone();
        let steps = rng.range(1, 60);
        let mut formulas = Formulas { rng: &mut rng, session: &session, known: Vec::new() };
        formulas.grow(steps);
        let known = formulas.known;
        let last = known.last().unwrap();
        let tried = [last, &known[known.len() / 2]];
        let attempt = AssertUnwindSafe(|| tried.iter().for_each(|known| check(&session, known)));
        if let Err(panic) = catch_unwind(attempt) {
            println!("{steps} steps: DOLMEN_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

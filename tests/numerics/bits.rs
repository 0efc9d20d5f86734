//! The same bits for any threads, workers and memory budget.

use crate::spectra::{self, Type};
use dolmen::array::BlockSize;
use dolmen::session::{Error, Matrix, Operation, RsvdOptions, Session};

fn session(threads: usize, workers: usize, memory: u64, block: u64) -> Session {
    let builder = Session::builder().threads(threads).workers(workers).memory(memory);
    builder.block(BlockSize::Square(block)).build().expect("a session")
}

type Bits = Vec<(&'static str, Vec<u64>)>;

/// Zeros of different signs and every NaN differ here.
fn bits(session: &Session, operation: &Operation) -> Result<Bits, Error> {
    let bits = |matrix: Matrix| matrix.to_f64().iter().map(|x| x.to_bits()).collect();
    Ok(session.run(operation)?.named.into_iter().map(|(name, matrix)| (name, bits(matrix))).collect())
}

/// Operations on matrices of `session`.
fn operations<T: Type>(session: &Session, name: &str) -> Vec<Operation> {
    let find = |m, n| {
        let case = spectra::all::<T>(m, n).into_iter().find(|case| case.name == name);
        session.from_array(spectra::array::<T>(&case.expect("a case of this name").a))
    };
    let (tall, square) = (find(211, 30), find(60, 60));
    let rsvd =
        |a, power_iters| Operation::Rsvd { a, options: RsvdOptions { power_iters, ..RsvdOptions::new(5) } };
    vec![
        Operation::Compute(&square + &square.t()),
        Operation::Compute(tall.dot(&tall.t())),
        Operation::Compute((&tall.t().dot(&tall) * 0.5).sum()),
        Operation::Compute(tall.norm()),
        Operation::Qr(tall.clone()),
        Operation::Qr(tall.t()),
        Operation::Svd { a: tall.clone(), values_only: false },
        Operation::Svd { a: tall.t(), values_only: false },
        Operation::Svd { a: tall.clone(), values_only: true },
        rsvd(tall.clone(), 2),
        rsvd(tall.t(), 1),
        rsvd(square, 0),
    ]
}

const BLOCK: u64 = 17;

fn threads_and_workers<T: Type>() {
    for name in ["gaussian", "10^-i", "near overflow"] {
        let run = |threads, workers| -> Vec<Bits> {
            let session = session(threads, workers, 1 << 28, BLOCK);
            let operations = operations::<T>(&session, name);
            operations.iter().map(|operation| bits(&session, operation).expect(name)).collect()
        };
        let first = run(1, 1);
        for (threads, workers) in [(2, 1), (4, 1), (1, 2), (1, 3), (2, 3), (4, 2)] {
            let again = run(threads, workers);
            for (number, (one, other)) in first.iter().zip(&again).enumerate() {
                assert!(one == other, "{name}, operation {number}: {workers} workers of {threads} threads");
            }
        }
    }
}

#[test]
fn do_not_depend_on_threads_and_workers() {
    threads_and_workers::<f64>();
    threads_and_workers::<f32>();
}

/// The least budget with which `operation` number `number` is accepted.
fn least<T: Type>(number: usize, name: &str) -> u64 {
    let fits = |memory: u64| {
        let session = session(2, 1, memory, BLOCK);
        session.preview(&operations::<T>(&session, name)[number], None).is_ok()
    };
    let (mut refused, mut accepted) = (0, 1 << 24);
    assert!(fits(accepted) && !fits(refused));
    while accepted - refused > 64 {
        let middle = refused + (accepted - refused) / 2;
        *(if fits(middle) { &mut accepted } else { &mut refused }) = middle;
    }
    accepted
}

#[test]
fn do_not_depend_on_the_memory_budget() {
    for name in ["gaussian", "10^-i"] {
        let ample = session(2, 1, 1 << 30, BLOCK);
        for (number, operation) in operations::<f64>(&ample, name).iter().enumerate() {
            let expected = bits(&ample, operation).expect(name);
            let most = ample.stats().peak_memory;
            let memory = least::<f64>(number, name);
            for budget in [memory, memory + memory / 2] {
                let tight = session(2, 1, budget, BLOCK);
                let found = bits(&tight, &operations::<f64>(&tight, name)[number]).expect(name);
                assert!(found == expected, "{name}, operation {number}, {budget} bytes, ample: {most}");
                assert!(tight.stats().peak_memory <= budget, "{name}, operation {number}");
            }
        }
    }
}

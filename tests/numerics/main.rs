//! Every row of NUMERICS' table over its list of spectra and shapes, in f32 and f64, against arithmetic that shares
//! nothing with the code under test. `eps` is the unit roundoff, `n` the smaller side.
//!
//! `DOLMEN_SEED` chooses the random matrices; a failure prints it.

#[path = "../support/mod.rs"]
mod support;

mod bits;
mod bounds;
mod empty;
mod nonfinite;
mod orthogonal;
mod overflow;
mod products;
mod randomized;
mod reference;
mod spectra;

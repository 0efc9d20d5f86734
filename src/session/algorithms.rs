//! The algorithms, blocking, with results as `ndarray` arrays.

use super::error::Error;
use super::operation::Operation;
use super::randomized::RsvdOptions;
use super::results::{Results, into_array};
use super::runtime::Session;
use crate::array::Array;
use crate::data::Real;
use ndarray::{Array1, Array2};

/// `A = Q·R`: Q m×k with orthonormal columns, R k×n upper triangular with a diagonal ≥ 0, k = min(m, n).
#[derive(Clone, Debug, PartialEq)]
pub struct Qr<T> {
    pub q: Array2<T>,
    pub r: Array2<T>,
}

/// `A = U·diag(s)·Vᵀ`: U m×k, s descending and ≥ 0, Vᵀ k×n, k = min(m, n). Signs: in each singular
/// vector of the shorter side the entry of largest magnitude is positive.
#[derive(Clone, Debug, PartialEq)]
pub struct Svd<T> {
    pub u: Array2<T>,
    pub s: Array1<T>,
    pub vt: Array2<T>,
}

/// The leading singular triplets, as [`Svd`] but with k = rank. The signs follow the same rule.
pub type Rsvd<T> = Svd<T>;

fn triplets<T: Real>(mut results: Results) -> Result<Svd<T>, Error> {
    let u = into_array(results.take("u")?)?;
    let s = into_array(results.take("s")?)?.column(0).to_owned();
    let vt = into_array(results.take("vt")?)?;
    Ok(Svd { u, s, vt })
}

impl Session {
    /// Computes a lazy array.
    ///
    /// ```
    /// # fn main() -> Result<(), dolmen::session::Error> {
    /// use dolmen::{array::{Array, Element}, session::Session};
    /// let session = Session::builder().threads(2).memory(64 << 20).build()?;
    /// let x = Array::constant(300, 300, 2.0, Element::F64);
    /// let y = session.compute::<f64>(&(&x + &x.t()).sum())?;
    /// assert_eq!(y[(0, 0)], 4.0 * 300.0 * 300.0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn compute<T: Real>(&self, array: &Array) -> Result<Array2<T>, Error> {
        into_array(self.run(&Operation::Compute(array.clone()))?.take("result")?)
    }

    /// `A + Aᵀ` of a square matrix, exact to the last bit of one addition.
    pub fn transpose_add<T: Real>(&self, a: &Array) -> Result<Array2<T>, Error> {
        self.compute(&(a + &a.t()))
    }

    /// `A·B`, 2mnk flops. `|C − A·B| ≤ k·eps·(|A|·|B|)` elementwise for inner length k (Higham 2002, §3.5).
    pub fn matmul<T: Real>(&self, a: &Array, b: &Array) -> Result<Array2<T>, Error> {
        self.compute(&a.dot(b))
    }

    /// QR of a tall matrix by Householder TSQR (Demmel, Grigori, Hoemmen, Langou 2012). About 6mn²
    /// flops in two passes over A: R, then Q.
    pub fn qr<T: Real>(&self, a: &Array) -> Result<Qr<T>, Error> {
        let mut results = self.run(&Operation::Qr(a.clone()))?;
        Ok(Qr { q: into_array(results.take("q")?)?, r: into_array(results.take("r")?)? })
    }

    /// Thin SVD of a tall-skinny or short-fat matrix: TSQR, then the SVD of R.
    pub fn svd<T: Real>(&self, a: &Array) -> Result<Svd<T>, Error> {
        triplets(self.run(&Operation::Svd { a: a.clone(), values_only: false })?)
    }

    /// The singular values only: one pass over A.
    pub fn singular_values<T: Real>(&self, a: &Array) -> Result<Array1<T>, Error> {
        let mut results = self.run(&Operation::Svd { a: a.clone(), values_only: true })?;
        Ok(into_array(results.take("s")?)?.column(0).to_owned())
    }

    /// Randomized SVD (Halko, Martinsson, Tropp 2011): power_iters + 2 passes over A. Where the spectrum
    /// falls too steeply for one-pass iterations it is done again with half steps, in 2·power_iters + 2 passes.
    pub fn rsvd<T: Real>(&self, a: &Array, options: RsvdOptions) -> Result<Rsvd<T>, Error> {
        triplets(self.run(&Operation::Rsvd { a: a.clone(), options })?)
    }
}

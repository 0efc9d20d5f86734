//! Scaling by exact powers of two, so that squares neither overflow nor vanish.

use crate::Scalar;

/// The exponent by which something with largest entry `max` should be divided: 0 if squares of it are safe.
pub(crate) fn shift_for<T: Scalar>(max: T) -> i32 {
    let (lo, hi) = T::SAFE_EXPONENTS;
    let e = max.exponent();
    if max == T::ZERO || !max.is_finite() || (lo < e && e <= hi) { 0 } else { e }
}

/// One exponent per column, kept as numbers in the caller's workspace: what is stored of column j is
/// `2^-e_j` times the column. A column that was zero so far has none yet.
pub(crate) struct ColumnShifts<'a, T> {
    exponents: &'a mut [T],
}

impl<'a, T: Scalar> ColumnShifts<'a, T> {
    /// All columns zero so far.
    pub(crate) fn new(exponents: &'a mut [T]) -> Self {
        exponents.fill(T::INFINITY);
        Self { exponents }
    }

    fn get(&self, j: usize) -> Option<i32> {
        let e = self.exponents[j];
        e.is_finite().then(|| e.to_f64() as i32)
    }

    /// The exponent of column j; 0 if it has none.
    pub(crate) fn of(&self, j: usize) -> i32 {
        self.get(j).unwrap_or(0)
    }

    /// Makes room for more entries of column j, of size up to `max`. Returns the power of two by which what
    /// is stored already must be multiplied.
    ///
    /// Exponents only grow: what is far smaller than the column so far may vanish, since rounding errors of
    /// the column are larger.
    pub(crate) fn admit(&mut self, j: usize, max: T) -> i32 {
        if max == T::ZERO {
            return 0;
        }
        let before = self.get(j);
        let fits = before.is_some_and(|e| max.exponent() - e <= T::SAFE_EXPONENTS.1);
        if fits || !max.is_finite() {
            return 0;
        }
        let e = shift_for(max);
        self.exponents[j] = T::from_f64(f64::from(e));
        before.map_or(0, |before| before - e)
    }
}

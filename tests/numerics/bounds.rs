//! Collects what was measured against what is allowed, so that one run tells all failures and the closest calls.

use crate::spectra::{Type, seed};
use crate::support::matrix::{Matrix, power_of_two};
use std::collections::BTreeMap;

/// Measurements of one test.
#[derive(Default)]
pub struct Report {
    closest: BTreeMap<&'static str, (f64, String)>,
    failures: Vec<String>,
}

impl Report {
    /// `value ≤ allowed`, where NaN is never allowed.
    pub fn at_most(&mut self, bound: &'static str, value: f64, allowed: f64, what: &str) {
        let share = if value == 0.0 { 0.0 } else { value / allowed };
        let closest = self.closest.entry(bound).or_default();
        if share > closest.0 {
            *closest = (share, what.to_string());
        }
        // Not `value > allowed`: NaN must fail.
        if !matches!(value.partial_cmp(&allowed), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal))
        {
            self.failures.push(format!("{what}: {bound}: {value:e}, allowed {allowed:e}"));
        }
    }

    pub fn holds(&mut self, rule: &'static str, holds: bool, what: &str) {
        if !holds {
            self.failures.push(format!("{what}: {rule}"));
        }
    }

    /// The 2-norm of `rest`, which is computed only where the Frobenius norm does not settle it.
    pub fn norm_at_most(&mut self, bound: &'static str, rest: &Matrix, allowed: f64, what: &str) {
        let frobenius = frobenius(rest);
        let norm = if frobenius <= allowed || !frobenius.is_finite() { frobenius } else { rest.norm() };
        self.at_most(bound, norm, allowed, what);
    }

    /// `‖QᵀQ − I‖_max ≤ 10·n·eps`.
    pub fn orthonormal<T: Type>(&mut self, bound: &'static str, q: &Matrix, n: usize, what: &str) {
        self.at_most(bound, q.orthogonality_error(), 10.0 * n as f64 * T::UNIT, what);
    }

    /// Fails with everything that was wrong.
    pub fn finish(self) {
        for (bound, (share, what)) in &self.closest {
            println!("{bound}: {share:.2} of what is allowed: {what}");
        }
        let shown: Vec<&str> = self.failures.iter().take(40).map(String::as_str).collect();
        assert!(
            shown.is_empty(),
            "{} failures with DOLMEN_SEED={}:\n{}",
            self.failures.len(),
            seed(),
            shown.join("\n")
        );
    }
}

pub fn frobenius(a: &Matrix) -> f64 {
    let scale = power_of_two(a.max_abs());
    a.data.iter().map(|x| (x / scale).powi(2)).sum::<f64>().sqrt() * scale
}

/// `scale` and `A/scale`, so that no check over- or underflows.
pub fn moderate(a: &Matrix) -> (f64, Matrix) {
    let scale = power_of_two(a.max_abs());
    (scale, a.map(|x| x / scale))
}

/// What it costs that results, and the triangles on the way to them, are numbers of type T: each element may be off by
/// half of the smallest one. Nothing unless a matrix is all but subnormal; then no algorithm meets `10·n·eps·‖A‖`,
/// since the exact R and S are not numbers of the type. `scale` is that of [`moderate`].
pub fn grain<T: Type>(m: usize, n: usize, scale: f64) -> f64 {
    4.0 * (m as f64 * n as f64).sqrt() * (T::TINY / scale)
}

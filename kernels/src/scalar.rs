//! The two element types and the few scalar facts that kernels need.

use ndarray::{LinalgScalar, ScalarOperand};
use std::fmt::{Debug, Display};
use std::ops::Neg;

pub(crate) mod sealed {
    #[cfg(target_arch = "x86_64")]
    use crate::simd::Avx2;
    use crate::simd::{Portable, Simd};

    #[cfg(not(feature = "openblas"))]
    pub trait Provided: faer::traits::RealField + crate::faer_backend::Compiled {}
    #[cfg(feature = "openblas")]
    pub trait Provided:
        faer::traits::RealField + crate::faer_backend::Compiled + crate::openblas::Native
    {
    }

    pub trait Sealed: Provided {
        /// Vectors of this type: always [`Avx2`], which serves both types.
        #[cfg(target_arch = "x86_64")]
        type Wide: Simd<Self> + From<Avx2>;
        /// With as many lanes: always [`Portable`].
        type Portable: Simd<Self> + From<Portable>;
    }

    macro_rules! sealed {
        ($t:ident) => {
            impl Provided for $t {}
            impl Sealed for $t {
                #[cfg(target_arch = "x86_64")]
                type Wide = Avx2;
                type Portable = Portable;
            }
        };
    }

    sealed!(f32);
    sealed!(f64);
}

/// `f32` or `f64`.
pub trait Scalar:
    sealed::Sealed
    + LinalgScalar
    + ScalarOperand
    + Neg<Output = Self>
    + Default
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
{
    /// The type's name as NumPy spells a Rust programmer's type: `f32`, `f64`.
    const NAME: &'static str;
    /// Machine epsilon, the gap after 1 (NumPy's `finfo.eps`): twice the unit roundoff.
    const EPS: Self;
    const ZERO: Self;
    const ONE: Self;
    const INFINITY: Self;
    /// The smallest normal number.
    const MIN_POSITIVE: Self;
    /// A column whose largest entry is `x` with `2^lo ≤ |x| ≤ 2^hi` can be squared and summed as it is.
    const SAFE_EXPONENTS: (i32, i32);

    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    fn is_finite(self) -> bool;
    /// The larger; the other one if one is NaN.
    fn max(self, other: Self) -> Self;
    fn copysign(self, sign: Self) -> Self;
    /// `e` with `2^(e-1) ≤ |x| < 2^e`; 0 for zero, more than any finite one for infinities and NaN.
    fn exponent(self) -> i32;
    /// `2^e`, for `e` in the range of normal numbers.
    fn pow2(e: i32) -> Self;

    /// `self · 2^e` for any `e`: exact unless the result is subnormal or overflows.
    fn times_pow2(self, e: i32) -> Self {
        let step = 1 - Self::MIN_POSITIVE.exponent();
        let mut x = self;
        let mut left = e;
        while left.abs() > step {
            x *= Self::pow2(step * left.signum());
            left -= step * left.signum();
        }
        x * Self::pow2(left)
    }
}

macro_rules! scalar {
    ($t:ident, $bits:ident, $bias:expr, $mantissa:expr, $safe:expr) => {
        impl Scalar for $t {
            const NAME: &'static str = stringify!($t);
            const EPS: Self = $t::EPSILON;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $t::INFINITY;
            const MIN_POSITIVE: Self = $t::MIN_POSITIVE;
            const SAFE_EXPONENTS: (i32, i32) = $safe;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $t::max(self, other)
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                $t::copysign(self, sign)
            }
            fn exponent(self) -> i32 {
                if self == 0.0 {
                    return 0;
                }
                let biased = |x: $t| ((x.abs().to_bits() >> $mantissa) as i32);
                match biased(self) {
                    0 => biased(self * $t::pow2($mantissa + 1)) - $bias + 1 - ($mantissa + 1),
                    e => e - $bias + 1,
                }
            }
            #[inline(always)]
            fn pow2(e: i32) -> Self {
                $t::from_bits(((e + $bias) as $bits) << $mantissa)
            }
        }
    };
}

scalar!(f32, u32, 127, 23, (-20, 40));
scalar!(f64, u64, 1023, 52, (-200, 200));

#[cfg(test)]
mod tests {
    use super::Scalar;

    #[test]
    fn exponents_bracket_the_number() {
        for e in -1073..=1023 {
            let x = 1.0f64.times_pow2(e);
            assert_eq!(x.exponent(), e + 1, "2^{e}");
            assert_eq!(x.times_pow2(-e), 1.0, "2^{e}");
        }
        for e in -148..=127 {
            let x = 1.0f32.times_pow2(e);
            assert_eq!(x.exponent(), e + 1, "2^{e}");
            assert_eq!(x.times_pow2(-e), 1.0, "2^{e}");
        }
        assert_eq!((0.75f64.exponent(), (-1.0f64).exponent(), 0f64.exponent()), (0, 1, 0));
    }
}

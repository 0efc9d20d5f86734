//! Compiles a kernel once for the baseline machine and once for AVX2 with FMA, and picks at run time.
//!
//! Kernels that use `FMA` round differently on a machine without it; those that ignore it do not.

use crate::Scalar;

/// A loop nest worth compiling for wide vectors. `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    type Output;
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs `kernel` with the widest vectors this machine has.
#[inline]
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the features that `wide` is compiled for were just detected.
            return unsafe { wide(kernel) };
        }
        kernel.run::<false>()
    }
    #[cfg(not(target_arch = "x86_64"))]
    kernel.run::<{ cfg!(target_arch = "aarch64") }>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn wide<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}

/// `a · b + c`, fused if `FMA`.
#[inline(always)]
pub(crate) fn fma<T: Scalar, const FMA: bool>(a: T, b: T, c: T) -> T {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

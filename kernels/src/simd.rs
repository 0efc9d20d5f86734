//! Compiles a kernel once for the baseline machine and once for AVX2 with FMA, and picks at run time.

use crate::Scalar;

/// A loop nest worth compiling for wide vectors; its results are the same on every machine. `run` must be
/// `#[inline(always)]`.
pub(crate) trait Kernel {
    type Output;
    fn run(self) -> Self::Output;
}

/// Runs `kernel` with the widest vectors this machine has.
#[inline]
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if wide_machine() {
        // SAFETY: the features that `wide` is compiled for were just detected.
        return unsafe { wide(kernel) };
    }
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn wide<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// A kernel written in vectors, which rounds differently on a machine without fused multiply-add. `run` must
/// be `#[inline(always)]`.
pub(crate) trait VectorKernel<T> {
    type Output;
    fn run<V: Vector<T>>(self) -> Self::Output;
}

/// Runs `kernel` with the widest vectors this machine has.
#[inline]
pub(crate) fn dispatch_vectors<T: Scalar, K: VectorKernel<T>>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if wide_machine() {
        // SAFETY: the features that `wide_vectors` is compiled for were just detected.
        return unsafe { wide_vectors(kernel) };
    }
    kernel.run::<T::Portable>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn wide_vectors<T: Scalar, K: VectorKernel<T>>(kernel: K) -> K::Output {
    kernel.run::<T::Wide>()
}

#[cfg(target_arch = "x86_64")]
fn wide_machine() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// 32 bytes of numbers. All methods are `#[inline(always)]`; those of the wide types must end up inside
/// [`dispatch_vectors`].
pub trait Vector<T>: Copy {
    const LANES: usize;
    fn splat(x: T) -> Self;
    /// # Safety
    /// `from` points to [`Self::LANES`] readable numbers.
    unsafe fn load(from: *const T) -> Self;
    /// # Safety
    /// `to` points to [`Self::LANES`] writable numbers.
    unsafe fn store(self, to: *mut T);
    /// [`Self::store`] past the caches, where the machine can; others see it after [`Self::fence`].
    /// # Safety
    /// As of `store`, and `to` is aligned to 32 bytes.
    unsafe fn stream(self, to: *mut T);
    fn fence();
    fn add(self, other: Self) -> Self;
    /// `self · a + b`, with one rounding where the machine can.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// [`Self::mul_add`] for single numbers.
    fn mul_add_one(x: T, a: T, b: T) -> T;

    /// The sum of the lanes, in halves.
    #[inline(always)]
    fn sum(self) -> T
    where
        T: Scalar,
    {
        let mut lanes = [T::ZERO; 8];
        // SAFETY: no vector has more than eight lanes.
        unsafe { self.store(lanes.as_mut_ptr()) };
        let mut width = Self::LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

macro_rules! portable {
    ($t:ident, $lanes:literal) => {
        impl Vector<$t> for [$t; $lanes] {
            const LANES: usize = $lanes;
            #[inline(always)]
            fn splat(x: $t) -> Self {
                [x; $lanes]
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                // SAFETY: promised by the caller; an array has no stricter alignment than its elements.
                unsafe { from.cast::<Self>().read() }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                // SAFETY: as in `load`.
                unsafe { to.cast::<Self>().write(self) }
            }
            #[inline(always)]
            unsafe fn stream(self, to: *mut $t) {
                // SAFETY: promised by the caller.
                unsafe { self.store(to) }
            }
            #[inline(always)]
            fn fence() {}
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                std::array::from_fn(|i| self[i] + other[i])
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                std::array::from_fn(|i| Self::mul_add_one(self[i], a[i], b[i]))
            }
            #[inline(always)]
            fn mul_add_one(x: $t, a: $t, b: $t) -> $t {
                if cfg!(target_arch = "aarch64") { x.mul_add(a, b) } else { x * a + b }
            }
        }
    };
}

portable!(f32, 8);
portable!(f64, 4);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    macro_rules! wide {
        ($t:ident, $v:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $stream:ident, $add:ident, $fma:ident) => {
            // SAFETY of all bodies: reached from `wide_vectors` only, which has the features; pointers are the
            // caller's promise, and the loads and stores are the unaligned ones but for `stream`.
            impl Vector<$t> for $v {
                const LANES: usize = $lanes;
                #[inline(always)]
                fn splat(x: $t) -> Self {
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(from: *const $t) -> Self {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $t) {
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn stream(self, to: *mut $t) {
                    unsafe { $stream(to, self) }
                }
                #[inline(always)]
                fn fence() {
                    unsafe { _mm_sfence() }
                }
                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    unsafe { $add(self, other) }
                }
                #[inline(always)]
                fn mul_add(self, a: Self, b: Self) -> Self {
                    unsafe { $fma(self, a, b) }
                }
                #[inline(always)]
                fn mul_add_one(x: $t, a: $t, b: $t) -> $t {
                    x.mul_add(a, b)
                }
            }
        };
    }

    wide!(
        f32,
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_stream_ps,
        _mm256_add_ps,
        _mm256_fmadd_ps
    );
    wide!(
        f64,
        __m256d,
        4,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_stream_pd,
        _mm256_add_pd,
        _mm256_fmadd_pd
    );
}

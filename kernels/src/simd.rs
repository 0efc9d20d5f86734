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
fn wide<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// A kernel written in vectors, which rounds differently on a machine without fused multiply-add. `run` must
/// be `#[inline(always)]`.
pub(crate) trait VectorKernel<T> {
    type Output;
    fn run<S: Simd<T>>(self, simd: S) -> Self::Output;
}

/// Runs `kernel` with the widest vectors this machine has.
#[inline]
pub(crate) fn dispatch_vectors<T: Scalar, K: VectorKernel<T>>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if wide_machine() {
        // SAFETY: the features that `wide_vectors` is compiled for were just detected.
        return unsafe { wide_vectors(kernel) };
    }
    kernel.run(T::Portable::from(Portable))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn wide_vectors<T: Scalar, K: VectorKernel<T>>(kernel: K) -> K::Output {
    kernel.run(T::Wide::from(Avx2::here()))
}

#[cfg(target_arch = "x86_64")]
fn wide_machine() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Vectors of 32 bytes. Who holds a value of such a type may use its instructions: there is one only on machines that
/// have them. All methods are `#[inline(always)]`; those of [`Avx2`] must end up inside [`dispatch_vectors`].
pub trait Simd<T>: Copy {
    type Vector: Copy;
    const LANES: usize;

    fn splat(self, x: T) -> Self::Vector;

    /// The elements of `from` that start at `at`.
    ///
    /// # Safety
    /// `at + LANES ≤ from.len()`.
    unsafe fn load(self, from: &[T], at: usize) -> Self::Vector;

    /// Writes the elements of `to` that start at `at`.
    ///
    /// # Safety
    /// `at + LANES ≤ to.len()`.
    unsafe fn store(self, vector: Self::Vector, to: &mut [T], at: usize);

    /// [`Simd::store`] past the caches, where the machine can.
    ///
    /// # Safety
    /// As of [`Simd::store`]; the first element written is aligned to 32 bytes; nobody looks at what was written before
    /// this thread has called [`Simd::fence`].
    unsafe fn stream(self, vector: Self::Vector, to: &mut [T], at: usize);

    /// What was streamed is there for all.
    fn fence(self);

    fn add(self, x: Self::Vector, y: Self::Vector) -> Self::Vector;

    /// `x · y + z`, with one rounding where the machine can.
    fn mul_add(self, x: Self::Vector, y: Self::Vector, z: Self::Vector) -> Self::Vector;

    /// [`Simd::mul_add`] for single numbers.
    fn mul_add_one(self, x: T, y: T, z: T) -> T;

    /// The sum of the lanes, in halves.
    #[inline(always)]
    fn sum(self, vector: Self::Vector) -> T
    where
        T: Scalar,
    {
        let mut lanes = [T::ZERO; 8];
        assert!(Self::LANES <= lanes.len());
        // SAFETY: there are at least LANES elements, as was just asked.
        unsafe { self.store(vector, &mut lanes, 0) };
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

/// Vectors of any machine.
#[derive(Clone, Copy)]
pub struct Portable;

macro_rules! portable {
    ($t:ident, $lanes:literal) => {
        impl Simd<$t> for Portable {
            type Vector = [$t; $lanes];
            const LANES: usize = $lanes;
            #[inline(always)]
            fn splat(self, x: $t) -> [$t; $lanes] {
                [x; $lanes]
            }
            #[inline(always)]
            unsafe fn load(self, from: &[$t], at: usize) -> [$t; $lanes] {
                debug_assert!(at + $lanes <= from.len());
                let lanes = from.as_ptr().wrapping_add(at).cast::<[$t; $lanes]>();
                // SAFETY: the caller promises so many elements; an array is aligned as its elements are.
                unsafe { lanes.read() }
            }
            #[inline(always)]
            unsafe fn store(self, vector: [$t; $lanes], to: &mut [$t], at: usize) {
                debug_assert!(at + $lanes <= to.len());
                let lanes = to.as_mut_ptr().wrapping_add(at).cast::<[$t; $lanes]>();
                // SAFETY: the caller promises so many elements; an array is aligned as its elements are.
                unsafe { lanes.write(vector) }
            }
            #[inline(always)]
            unsafe fn stream(self, vector: [$t; $lanes], to: &mut [$t], at: usize) {
                // SAFETY: the caller promises what `store` asks for, and more.
                unsafe { self.store(vector, to, at) }
            }
            #[inline(always)]
            fn fence(self) {}
            #[inline(always)]
            fn add(self, x: [$t; $lanes], y: [$t; $lanes]) -> [$t; $lanes] {
                std::array::from_fn(|i| x[i] + y[i])
            }
            #[inline(always)]
            fn mul_add(self, x: [$t; $lanes], y: [$t; $lanes], z: [$t; $lanes]) -> [$t; $lanes] {
                std::array::from_fn(|i| self.mul_add_one(x[i], y[i], z[i]))
            }
            #[inline(always)]
            fn mul_add_one(self, x: $t, y: $t, z: $t) -> $t {
                if cfg!(target_arch = "aarch64") { x.mul_add(y, z) } else { x * y + z }
            }
        }
    };
}

portable!(f32, 8);
portable!(f64, 4);

#[cfg(target_arch = "x86_64")]
pub use x86::Avx2;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// Vectors of a machine with AVX2 and FMA; a value shows that this machine is one.
    #[derive(Clone, Copy)]
    pub struct Avx2(());

    impl Avx2 {
        /// Can be called without `unsafe` only where the compiler knows of the features.
        #[inline]
        #[target_feature(enable = "avx2,fma")]
        pub(super) fn here() -> Self {
            Avx2(())
        }
    }

    macro_rules! wide {
        ($t:ident, $v:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $stream:ident, $add:ident, $fma:ident) => {
            impl Simd<$t> for Avx2 {
                type Vector = $v;
                const LANES: usize = $lanes;
                #[inline(always)]
                fn splat(self, x: $t) -> $v {
                    // SAFETY: `self` shows that the machine has AVX.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(self, from: &[$t], at: usize) -> $v {
                    debug_assert!(at + $lanes <= from.len());
                    let lanes = from.as_ptr().wrapping_add(at);
                    // SAFETY: the caller promises so many elements; they need no alignment; `self` shows that there
                    // is AVX.
                    unsafe { $load(lanes) }
                }
                #[inline(always)]
                unsafe fn store(self, vector: $v, to: &mut [$t], at: usize) {
                    debug_assert!(at + $lanes <= to.len());
                    let lanes = to.as_mut_ptr().wrapping_add(at);
                    // SAFETY: the caller promises so many elements; they need no alignment; `self` shows that there
                    // is AVX.
                    unsafe { $store(lanes, vector) }
                }
                #[inline(always)]
                unsafe fn stream(self, vector: $v, to: &mut [$t], at: usize) {
                    let lanes = to.as_mut_ptr().wrapping_add(at);
                    debug_assert!(at + $lanes <= to.len() && lanes.addr().is_multiple_of(size_of::<$v>()));
                    // SAFETY: the caller promises so many elements, their alignment and a fence; `self` shows that
                    // there is AVX.
                    unsafe { $stream(lanes, vector) }
                }
                #[inline(always)]
                fn fence(self) {
                    // SAFETY: every x86-64 has SSE.
                    unsafe { _mm_sfence() }
                }
                #[inline(always)]
                fn add(self, x: $v, y: $v) -> $v {
                    // SAFETY: `self` shows that the machine has AVX.
                    unsafe { $add(x, y) }
                }
                #[inline(always)]
                fn mul_add(self, x: $v, y: $v, z: $v) -> $v {
                    // SAFETY: `self` shows that the machine has FMA.
                    unsafe { $fma(x, y, z) }
                }
                #[inline(always)]
                fn mul_add_one(self, x: $t, y: $t, z: $t) -> $t {
                    x.mul_add(y, z)
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

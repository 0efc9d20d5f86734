//! What processes have to have in common: what a program means to them, and the bits that their kernels give.

use kernels::{Active, Backend};

/// Names the operations that this build knows.
pub fn operations() -> String {
    format!("dolmen {}", env!("CARGO_PKG_VERSION"))
}

/// Names what the bits of kernels depend on: the library that multiplies, and the instructions that it may choose.
pub fn kernel_fingerprint() -> String {
    format!("{} {}", Active::NAME, vector_instructions())
}

#[cfg(target_arch = "x86_64")]
fn vector_instructions() -> &'static str {
    if is_x86_feature_detected!("avx512f") {
        "avx512f"
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        "avx2+fma"
    } else {
        "sse2"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vector_instructions() -> &'static str {
    std::env::consts::ARCH
}

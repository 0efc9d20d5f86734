//! Numbers that nobody can guess.

/// 64 bits from the system's generator.
///
/// # Panics
/// If the system has no random numbers to give. No key could be made then, and no connection either.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    let generator = rustls::crypto::ring::default_provider().secure_random;
    generator.fill(&mut bytes).expect("the system's random numbers");
    u64::from_le_bytes(bytes)
}

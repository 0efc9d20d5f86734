//! Random matrices whose element (i, j) is a function of seed, i and j: the same in any block, on any machine.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): the key is the seed, the counter row and column pair. Columns
//! 2c and 2c+1 share one call. An f32 element is the f64 element of the same place, rounded.

use crate::Scalar;
use ndarray::ArrayViewMut2;

/// Columns must stay below this: the bits above tell the distributions apart.
pub const MAX_COLUMNS: u64 = 1 << 48;

const UNIFORM: u64 = 0;
const NORMAL: u64 = 1;
const UNIT: f64 = 1.0 / (1u64 << 53) as f64;

/// Ten rounds of Philox4x32.
#[inline(always)]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const M: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let (p0, p1) = (M[0] * u64::from(counter[0]), M[1] * u64::from(counter[2]));
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(W[0]), key[1].wrapping_add(W[1])];
    }
    counter
}

/// Two 64-bit words for columns `2·pair` and `2·pair + 1` of a row.
#[inline(always)]
fn words(seed: u64, distribution: u64, row: u64, pair: u64) -> [u64; 2] {
    let column = pair | distribution << 48;
    let counter = [column as u32, (column >> 32) as u32, row as u32, (row >> 32) as u32];
    let [a, b, c, d] = philox(counter, [seed as u32, (seed >> 32) as u32]);
    [u64::from(a) | u64::from(b) << 32, u64::from(c) | u64::from(d) << 32]
}

/// Two numbers in [0, 1), multiples of 2⁻⁵³.
#[inline(always)]
fn uniform_pair(seed: u64, row: u64, pair: u64) -> [f64; 2] {
    words(seed, UNIFORM, row, pair).map(|w| (w >> 11) as f64 * UNIT)
}

/// Two independent normal numbers by Box and Muller 1958; `libm` makes them the same on every platform.
#[inline(always)]
fn normal_pair(seed: u64, row: u64, pair: u64) -> [f64; 2] {
    let [a, b] = words(seed, NORMAL, row, pair);
    let radius = (-2.0 * libm::log(((a >> 11) + 1) as f64 * UNIT)).sqrt();
    let (sin, cos) = libm::sincos(std::f64::consts::TAU * ((b >> 11) as f64 * UNIT));
    [radius * cos, radius * sin]
}

/// Fills `out` with the part of the seed's uniform matrix that starts at `(row0, col0)`. Elements lie in [0, 1);
/// as f32, one in 2²⁵ rounds to 1.
///
/// # Panics
/// If a column is not below [`MAX_COLUMNS`].
pub fn fill_uniform<T: Scalar>(seed: u64, row0: u64, col0: u64, out: ArrayViewMut2<T>) {
    fill(row0, col0, out, |row, pair| uniform_pair(seed, row, pair));
}

/// Fills `out` with the part of the seed's standard normal matrix that starts at `(row0, col0)`.
///
/// # Panics
/// If a column is not below [`MAX_COLUMNS`].
pub fn fill_normal<T: Scalar>(seed: u64, row0: u64, col0: u64, out: ArrayViewMut2<T>) {
    fill(row0, col0, out, |row, pair| normal_pair(seed, row, pair));
}

fn fill<T: Scalar>(row0: u64, col0: u64, mut out: ArrayViewMut2<T>, pair: impl Fn(u64, u64) -> [f64; 2]) {
    let end = col0.saturating_add(out.ncols() as u64);
    assert!(end <= MAX_COLUMNS, "column {end} is beyond the generator's {MAX_COLUMNS}");
    for (i, mut row) in out.rows_mut().into_iter().enumerate() {
        let at = row0.wrapping_add(i as u64);
        let mut j = 0;
        while j < row.len() {
            let column = col0 + j as u64;
            for x in &pair(at, column / 2)[(column % 2) as usize..] {
                if j < row.len() {
                    row[j] = T::from_f64(*x);
                    j += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::philox;

    /// From `kat_vectors` of Random123 1.14.
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}

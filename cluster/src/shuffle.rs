//! Byte shuffle: the first bytes of all elements, then their second bytes, and so on. The bytes of one place resemble
//! each other (exponents, zeros of small integers), so a compressor finds more in them than in whole elements. Pure.

/// Elements that are transposed together in registers.
const GROUP: usize = 16;

/// Sorts the bytes of `raw`, elements of `size` (4 or 8) bytes, by their place in the element. Bytes behind the last
/// whole element stay where they are.
///
/// # Panics
/// If the slices differ in length or `size` is neither 4 nor 8.
pub fn shuffle(size: usize, raw: &[u8], planes: &mut [u8]) {
    assert_eq!(raw.len(), planes.len(), "a shuffle keeps the length");
    match size {
        4 => shuffle_elements::<4>(raw, planes),
        8 => shuffle_elements::<8>(raw, planes),
        _ => panic!("elements have 4 or 8 bytes, not {size}"),
    }
}

/// The inverse of [`shuffle`].
///
/// # Panics
/// As [`shuffle`].
pub fn unshuffle(size: usize, planes: &[u8], raw: &mut [u8]) {
    assert_eq!(raw.len(), planes.len(), "a shuffle keeps the length");
    match size {
        4 => unshuffle_elements::<4>(planes, raw),
        8 => unshuffle_elements::<8>(planes, raw),
        _ => panic!("elements have 4 or 8 bytes, not {size}"),
    }
}

fn shuffle_elements<const SIZE: usize>(raw: &[u8], planes: &mut [u8]) {
    let count = raw.len() / SIZE;
    let whole = count / GROUP * GROUP;
    for (group, elements) in raw[..whole * SIZE].chunks_exact(GROUP * SIZE).enumerate() {
        let sorted = registers::sorted::<SIZE>(elements);
        for (byte, lanes) in sorted.iter().enumerate() {
            planes[byte * count + group * GROUP..][..GROUP].copy_from_slice(lanes);
        }
    }
    for at in whole..count {
        for byte in 0..SIZE {
            planes[byte * count + at] = raw[at * SIZE + byte];
        }
    }
    planes[count * SIZE..].copy_from_slice(&raw[count * SIZE..]);
}

fn unshuffle_elements<const SIZE: usize>(planes: &[u8], raw: &mut [u8]) {
    let count = raw.len() / SIZE;
    let whole = count / GROUP * GROUP;
    for (group, elements) in raw[..whole * SIZE].chunks_exact_mut(GROUP * SIZE).enumerate() {
        let sorted = std::array::from_fn(|byte| {
            planes[byte * count + group * GROUP..][..GROUP].try_into().expect("a group of bytes")
        });
        registers::merge::<SIZE>(&sorted, elements);
    }
    for at in whole..count {
        for byte in 0..SIZE {
            raw[at * SIZE + byte] = planes[byte * count + at];
        }
    }
    raw[count * SIZE..].copy_from_slice(&planes[count * SIZE..]);
}

/// The transposition of 16 elements. LLVM makes neither loop nor array of bytes into the unpack instructions (1 to 2
/// GB/s where these run at 5 to 9), and SSE2 is part of every x86-64.
#[cfg(target_arch = "x86_64")]
mod registers {
    use super::GROUP;
    use std::arch::x86_64::{
        __m128i, _mm_loadu_si128, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpacklo_epi8,
    };

    /// Perfect shuffle of all bytes: the first half and the second half take turns. It rotates the bits of a byte's
    /// index to the left by one.
    #[inline(always)]
    fn interleave<const SIZE: usize>(x: [__m128i; SIZE]) -> [__m128i; SIZE] {
        let mut out = x;
        for i in 0..SIZE / 2 {
            // SAFETY: SSE2 is part of every x86-64.
            out[2 * i] = unsafe { _mm_unpacklo_epi8(x[i], x[SIZE / 2 + i]) };
            // SAFETY: SSE2 is part of every x86-64.
            out[2 * i + 1] = unsafe { _mm_unpackhi_epi8(x[i], x[SIZE / 2 + i]) };
        }
        out
    }

    #[inline(always)]
    fn load(bytes: &[u8; GROUP]) -> __m128i {
        // SAFETY: 16 readable bytes, alignment is not asked for.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(lanes: __m128i) -> [u8; GROUP] {
        let mut bytes = [0; GROUP];
        // SAFETY: 16 writable bytes, alignment is not asked for.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), lanes) };
        bytes
    }

    /// Index (element, byte) becomes (byte, element): a rotation by the four bits of the element.
    #[inline(always)]
    pub fn sorted<const SIZE: usize>(elements: &[u8]) -> [[u8; GROUP]; SIZE] {
        let mut x = std::array::from_fn(|i| {
            load(elements[GROUP * i..][..GROUP].try_into().expect("a register of bytes"))
        });
        for _ in 0..GROUP.trailing_zeros() {
            x = interleave::<SIZE>(x);
        }
        x.map(store)
    }

    /// And back: a rotation by the bits of the byte.
    #[inline(always)]
    pub fn merge<const SIZE: usize>(sorted: &[[u8; GROUP]; SIZE], elements: &mut [u8]) {
        let mut x: [__m128i; SIZE] = std::array::from_fn(|i| load(&sorted[i]));
        for _ in 0..SIZE.trailing_zeros() {
            x = interleave::<SIZE>(x);
        }
        for (out, lanes) in elements.chunks_exact_mut(GROUP).zip(x) {
            out.copy_from_slice(&store(lanes));
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
use portable as registers;

/// The same for other processors.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::GROUP;

    pub fn sorted<const SIZE: usize>(elements: &[u8]) -> [[u8; GROUP]; SIZE] {
        std::array::from_fn(|byte| std::array::from_fn(|at| elements[at * SIZE + byte]))
    }

    pub fn merge<const SIZE: usize>(sorted: &[[u8; GROUP]; SIZE], elements: &mut [u8]) {
        for (at, element) in elements.chunks_exact_mut(SIZE).enumerate() {
            element.iter_mut().zip(sorted).for_each(|(byte, plane)| *byte = plane[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GROUP, portable, registers, shuffle, unshuffle};

    #[test]
    fn bytes_are_sorted_by_their_place_and_come_back() {
        for size in [4, 8] {
            for len in [0, 1, size, 15 * size, 16 * size, 17 * size + 3, 333 * size] {
                let raw: Vec<u8> = (0..len).map(|i| (i * 37 % 251) as u8).collect();
                let (mut planes, mut back) = (vec![0; len], vec![0; len]);
                shuffle(size, &raw, &mut planes);
                let count = len / size;
                for at in 0..count * size {
                    assert_eq!(planes[at % size * count + at / size], raw[at], "size {size}, {len} bytes");
                }
                unshuffle(size, &planes, &mut back);
                assert_eq!(raw, back, "size {size}, {len} bytes");
            }
        }
    }

    fn check_registers<const SIZE: usize>() {
        let elements: Vec<u8> = (0..GROUP * SIZE).map(|i| (i * 37 % 251) as u8).collect();
        let sorted = portable::sorted::<SIZE>(&elements);
        assert_eq!(sorted, registers::sorted::<SIZE>(&elements));
        let mut back = vec![0; GROUP * SIZE];
        portable::merge::<SIZE>(&sorted, &mut back);
        assert_eq!(back, elements);
    }

    #[test]
    fn all_processors_sort_alike() {
        check_registers::<4>();
        check_registers::<8>();
    }
}

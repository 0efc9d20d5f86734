//! Sizes as people write them: `4GiB`, `200000x100`, `auto`.

use crate::array::BlockSize;

/// Bytes: a number with an optional unit, binary (KiB, MiB, GiB, TiB) or decimal (KB, MB, GB, TB).
pub fn memory(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "tib" | "t" => 1 << 40,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        _ => return Err(format!("unknown unit {unit:?}: write bytes, KiB, MiB, GiB or TiB")),
    };
    let value: f64 = number.parse().map_err(|_| "write a size like 4GiB or 512MiB".to_string())?;
    let bytes = value * factor as f64;
    if (1.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err("that is no size of a memory".into()) }
}

/// Bytes as for [`memory`], or 0 for none.
pub fn space(text: &str) -> Result<u64, String> {
    if text.trim() == "0" { Ok(0) } else { memory(text) }
}

fn length(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is not a number of rows or columns"))
}

fn pair(text: &str) -> Option<Result<(u64, u64), String>> {
    let (rows, cols) = text.split_once(['x', 'X'])?;
    Some(length(rows).and_then(|rows| Ok((rows, length(cols)?))))
}

/// `200000x100`
pub fn shape(text: &str) -> Result<(u64, u64), String> {
    let shape = pair(text).unwrap_or_else(|| Err("write rows and columns like 200000x100".into()))?;
    match shape.0.checked_mul(shape.1).and_then(|n| n.checked_mul(8)) {
        Some(bytes) if bytes < 1 << 62 => Ok(shape),
        _ => Err("that is more than any disk holds".into()),
    }
}

/// `4096`, `4096x512` or `auto`
pub fn block(text: &str) -> Result<BlockSize, String> {
    if text == "auto" {
        return Ok(BlockSize::Auto);
    }
    let block = match pair(text) {
        Some(pair) => pair.map(|(rows, cols)| BlockSize::RowsCols(rows, cols))?,
        None => BlockSize::Square(length(text).map_err(|_| "write 4096, 4096x512 or auto".to_string())?),
    };
    match block {
        BlockSize::Square(0) | BlockSize::RowsCols(0, _) | BlockSize::RowsCols(_, 0) => {
            Err("a block has at least one row and one column".into())
        }
        block => Ok(block),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_written() {
        assert_eq!(memory("4GiB"), Ok(4 << 30));
        assert_eq!(memory("1.5 MiB"), Ok(3 << 19));
        assert_eq!(memory("2kb"), Ok(2000));
        assert!(memory("0").is_err() && memory("GiB").is_err() && memory("4 parsecs").is_err());
        assert_eq!(shape("3x4"), Ok((3, 4)));
        assert!(
            shape("3").is_err() && shape("3x-1").is_err() && shape("9999999999999x9999999999999").is_err()
        );
        assert_eq!(block("auto"), Ok(BlockSize::Auto));
        assert_eq!(block("8x9"), Ok(BlockSize::RowsCols(8, 9)));
        assert!(block("0").is_err() && block("4x0").is_err() && block("big").is_err());
    }
}

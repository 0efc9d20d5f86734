//! Sizes as people write them: `4GiB`, `200000x100`, `auto`.

use crate::array::BlockSize;
use crate::ids::{StageId, TaskId};
use crate::session::{self, MOST_MEMORY, Workers};
use std::time::Duration;

/// Bytes: a number, 1e9 too, with an optional unit as SLURM and Kubernetes write it. K, M, G and T, also with `i` or
/// `iB` behind them, count by 1024; KB, MB, GB and TB by 1000.
pub fn memory(text: &str) -> Result<u64, String> {
    bytes(text).and_then(|bytes| match bytes <= MOST_MEMORY {
        true => Ok(bytes),
        false => Err("no machine has so much".into()),
    })
}

/// Threads of one worker, as clap counts them.
pub const MOST_THREADS: i64 = session::MOST_THREADS as i64;

fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (number, unit) = text.split_at(number_len(text));
    let value: f64 = number.parse().map_err(|_| "write a size like 4G or 512MiB".to_string())?;
    let bytes = value * factor(unit.trim())?;
    if (1.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err("that is no size of a memory".into()) }
}

/// Bytes of the number at the beginning, its exponent included.
fn number_len(text: &str) -> usize {
    let digits = |from: usize| {
        let end = text[from..].find(|c: char| !c.is_ascii_digit() && c != '.');
        end.map_or(text.len(), |end| from + end)
    };
    let mantissa = digits(0);
    let Some(exponent) = text[mantissa..].strip_prefix(['e', 'E']) else { return mantissa };
    let sign = usize::from(exponent.starts_with(['+', '-']));
    let end = digits(mantissa + 1 + sign);
    if end > mantissa + 1 + sign { end } else { mantissa }
}

/// Bytes of a unit.
fn factor(unit: &str) -> Result<f64, String> {
    let unknown =
        || format!("unknown unit {unit:?}: write K, M, G or T (1024), KB, MB, GB or TB (1000), or bytes");
    let lower = unit.to_ascii_lowercase();
    let Some(letter) = lower.chars().next().filter(|_| lower != "b") else { return Ok(1.0) };
    let power = "kmgt".find(letter).ok_or_else(unknown)? as i32 + 1;
    match &lower[1..] {
        "" | "i" | "ib" => Ok(1024_f64.powi(power)),
        "b" => Ok(1000_f64.powi(power)),
        _ => Err(unknown()),
    }
}

/// Bytes as for [`memory`], or 0 for none.
pub fn space(text: &str) -> Result<u64, String> {
    if text.trim() == "0" { Ok(0) } else { bytes(text) }
}

/// A task: `s3.17` or `3.17` is number 17 of stage 3.
pub fn task(text: &str) -> Result<TaskId, String> {
    let parts = text.strip_prefix('s').unwrap_or(text).split_once('.');
    let task =
        parts.and_then(|(stage, index)| Some(TaskId::new(StageId(stage.parse().ok()?), index.parse().ok()?)));
    task.ok_or_else(|| "write a stage and a number like s3.17".into())
}

/// `4`: always so many workers. `1..8`: as many as there is work for, but at least one and at most eight.
pub fn workers(text: &str) -> Result<Workers, String> {
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|workers| *workers > 0).map(usize::from);
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    match (number(least), number(most)) {
        (Some(least), Some(most)) if least <= most => Ok(Workers { least, most }),
        (Some(least), Some(most)) => {
            Err(format!("there is nothing from {least} to {most}: write {most}..{least}"))
        }
        _ => Err("write a number of workers like 4, or a range like 1..8, from 1 on".into()),
    }
}

/// A time like `15s`, `5m` or `1h`.
pub fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|_| "write a time like 15s, 5m or 1h".into())
}

/// A silence after which somebody is lost: a second at least, since nobody speaks more often.
pub fn silence(text: &str) -> Result<Duration, String> {
    match time(text)? {
        short if short < Duration::from_secs(1) => Err("write a time of 1s or more".into()),
        silence => Ok(silence),
    }
}

/// What one thing costs in another: a number that is not below zero.
pub fn cost(text: &str) -> Result<f64, String> {
    let cost = text.trim().parse().ok().filter(|cost| (0.0..=1e9).contains(cost));
    cost.ok_or_else(|| "write a number from 0 to 1e9, like 0.5 or 10".into())
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
    fn workers_are_a_number_or_a_range() {
        assert_eq!(workers("4"), Ok(Workers { least: 4, most: 4 }));
        assert_eq!(workers("1..8"), Ok(Workers { least: 1, most: 8 }));
        assert_eq!(workers("3..3"), Ok(Workers::from(3)));
        for text in
            ["0", "0..4", "4..1", "x", "", "..", "1..", "..4", "-1", "1..-1", "1...4", "1..=4", "70000"]
        {
            assert!(workers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        assert!(memory("1025T").is_err() && space("1025T").is_ok());
        assert!(silence("999ms").is_err() && silence("0").is_err() && silence("1s").is_ok());
    }

    #[test]
    fn sizes_are_read_as_written() {
        assert_eq!(memory("4GiB"), Ok(4 << 30));
        assert_eq!(memory("1.5 MiB"), Ok(3 << 19));
        assert_eq!(memory("2kb"), Ok(2000));
        for (text, bytes) in [
            ("123", 123),
            ("1e9", 1_000_000_000),
            ("1.5E3 b", 1500),
            ("2e+3K", 2000 << 10),
            ("1K", 1 << 10),
            ("3Ki", 3 << 10),
            ("1M", 1 << 20),
            ("1MB", 1_000_000),
            ("1Mi", 1 << 20),
            ("1G", 1 << 30),
            ("1GB", 1_000_000_000),
            ("1Gi", 1 << 30),
            ("1GiB", 1 << 30),
            ("1T", 1 << 40),
            ("1TB", 1_000_000_000_000),
            ("1Ti", 1 << 40),
        ] {
            assert_eq!(memory(text), Ok(bytes), "{text}");
        }
        for text in ["e9", "1e", "1e99", "1x", "1ib", "1Gx", "1é", "inf", "nan", "-1", "", "1.2.3"] {
            assert!(memory(text).is_err(), "{text}");
        }
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

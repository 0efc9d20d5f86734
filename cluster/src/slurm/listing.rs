//! What `squeue` and `sbatch` print.

use super::job_state::place_state;
use crate::provider::PlaceState;
use std::fmt;
use std::str::FromStr;

/// Options of `squeue` for lines that [`rows`] reads: all jobs of this user, those that have ended included, one line
/// for each job of an array.
pub const SQUEUE: [&str; 5] = ["--me", "--array", "--noheader", "--states=all", "--format=%i|%T|%L|%M|%r|%j"];

/// One job of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The array.
    pub array: u64,
    /// Its place there.
    pub index: u32,
}

/// As SLURM writes it: `17_3`.
impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.array, self.index)
    }
}

/// Not the name of a job of an array.
#[derive(Debug, PartialEq, Eq)]
pub struct NoJobOfAnArray;

impl FromStr for JobId {
    type Err = NoJobOfAnArray;

    fn from_str(text: &str) -> Result<JobId, NoJobOfAnArray> {
        let (array, index) = text.split_once('_').ok_or(NoJobOfAnArray)?;
        let array = array.parse().map_err(|_| NoJobOfAnArray)?;
        Ok(JobId { array, index: index.parse().map_err(|_| NoJobOfAnArray)? })
    }
}

/// What `squeue` says of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which job.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: PlaceState,
    /// Seconds since it began.
    pub used: Option<f64>,
    /// Seconds until it must be gone.
    pub left: Option<f64>,
    /// Its state in SLURM's words, and the reason if there is one.
    pub words: String,
}

/// A line that `squeue` was not expected to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("squeue printed {0:?}, which is no job")]
pub struct NoRow(String);

/// The jobs of arrays in what `squeue` printed with the options [`SQUEUE`]. O(lines).
///
/// # Errors
/// If there is a line that is none.
pub fn rows(text: &str) -> Result<Vec<Row>, NoRow> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.filter_map(|line| row(line).transpose()).collect()
}

/// A line; none if the job belongs to no array.
fn row(line: &str) -> Result<Option<Row>, NoRow> {
    // The name is the user's and may have anything in it: it comes last.
    let fields: Vec<&str> = line.splitn(6, '|').collect();
    let [id, state, left, used, reason, name] = fields[..] else { return Err(NoRow(line.into())) };
    if id.is_empty() || !id.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(NoRow(line.into()));
    }
    let Ok(id) = id.parse() else { return Ok(None) };
    let words = match reason {
        "" | "None" => state.to_string(),
        reason => format!("{state} ({reason})"),
    };
    let (used, left) = (seconds(used), seconds(left));
    Ok(Some(Row { id, name: name.into(), state: place_state(state, reason), used, left, words }))
}

/// Seconds of `1-02:03:04`, `02:03:04` or `03:04`; none for words like `UNLIMITED` and `INVALID`.
pub fn seconds(text: &str) -> Option<f64> {
    let (days, rest) = text.trim().split_once('-').unwrap_or(("0", text.trim()));
    let mut total = 0_u64;
    let parts: Vec<&str> = rest.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    for part in &parts {
        total = total.checked_mul(60)?.checked_add(part.parse::<u64>().ok()?)?;
    }
    let days: u64 = days.parse().ok()?;
    Some(days.checked_mul(86400)?.checked_add(total)? as f64)
}

/// The number of the array in what `sbatch --parsable` printed: `17`, or `17;cluster`.
pub fn submitted(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    line.trim().split(';').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::End;

    #[test]
    fn lines_of_a_real_squeue_are_read() {
        let text = "\
12_0|RUNNING|58:01|2:02|None|dolmen-1-2
12_1|PENDING|1-00:00:00|0:00|Resources|dolmen-1-2
13_10|PENDING|UNLIMITED|0:00|ReqNodeNotAvail, UnavailableNodes:n1|dolmen-1-2
11_7|NODE_FAIL|INVALID|INVALID|NodeDown|a|name
9|RUNNING|364-23:59:58|0:02|None|of no array
10_[5-7%2]|PENDING|5:00|0:00|JobArrayTaskLimit|not expanded
";
        let rows = rows(text).expect("rows");
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.id.to_string(), row.state, row.left, row.used, row.name.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("12_0".to_string(), PlaceState::Running, Some(3481.0), Some(122.0), "dolmen-1-2"),
                ("12_1".into(), PlaceState::Waiting, Some(86400.0), Some(0.0), "dolmen-1-2"),
                ("13_10".into(), PlaceState::Waiting, None, Some(0.0), "dolmen-1-2"),
                ("11_7".into(), PlaceState::Ended(End::MachineLost), None, None, "a|name"),
            ]
        );
        assert_eq!(rows[0].words, "RUNNING");
        assert_eq!(rows[1].words, "PENDING (Resources)");
        assert_eq!(super::rows("\n"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_line_of_squeue_is_an_error() {
        for text in [
            "slurm_load_jobs error: Unable to contact slurm controller",
            "12_0|RUNNING",
            "|||||",
            "a|b|c|d|e|f",
        ] {
            assert_eq!(rows(text), Err(NoRow(text.into())));
        }
    }

    #[test]
    fn times_are_read_as_slurm_writes_them() {
        for (text, expected) in [
            ("0:02", Some(2.0)),
            ("59:59", Some(3599.0)),
            ("1:02:03", Some(3723.0)),
            ("2-00:00:01", Some(172_801.0)),
            ("UNLIMITED", None),
            ("NOT_SET", None),
            ("INVALID", None),
            ("", None),
            ("5", None),
            ("99999999999999999-00:00:00", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn the_number_of_an_array_is_read() {
        assert_eq!(submitted("17\n"), Some(17));
        assert_eq!(submitted("17;cluster\n"), Some(17));
        assert_eq!(submitted("Submitted batch job 17\n"), None);
        assert_eq!(submitted(""), None);
    }
}

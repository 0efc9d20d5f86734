//! Names of jobs: `dolmen-KEY-LIFE`. The key is the same for all lives of one owner, as a scheduler that is started
//! again with the same file. So whoever starts next knows which jobs are left of a life that was killed.

use crate::life::Life;
use xxhash_rust::xxh3::xxh3_64;

/// The name of all jobs of one life of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobName {
    key: String,
    whole: String,
}

/// Whose job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of this life.
    Own,
    /// Of an earlier life of this owner: nobody waits for it any more.
    Earlier,
    /// Something else.
    Others,
}

impl JobName {
    /// `owner` is what stays the same from life to life, and what no two owners have in common who live at once: the
    /// path of a scheduler file, or of a result.
    pub fn new(owner: &str, life: Life) -> JobName {
        let key = format!("dolmen-{:08x}-", xxh3_64(owner.as_bytes()) >> 32);
        JobName { whole: format!("{key}{life}"), key }
    }

    /// As SLURM is told.
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// Whose a job of this name is.
    pub fn whose(&self, name: &str) -> Whose {
        let is_life = |rest: &str| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if name == self.whole {
            Whose::Own
        } else if name.strip_prefix(&self.key).is_some_and(is_life) {
            Whose::Earlier
        } else {
            Whose::Others
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_life_knows_what_is_left_of_its_own() {
        let (first, next) =
            (JobName::new("/a/cluster.json", Life(1)), JobName::new("/a/cluster.json", Life(2)));
        let other = JobName::new("/b/cluster.json", Life(1));
        assert_eq!(next.whose(next.as_str()), Whose::Own);
        assert_eq!(next.whose(first.as_str()), Whose::Earlier);
        assert_eq!(next.whose(other.as_str()), Whose::Others);
        for name in ["", "dolmen", "dolmen-svd", &next.key, &format!("{}x", next.whole)] {
            assert_eq!(next.whose(name), Whose::Others, "{name}");
        }
    }
}

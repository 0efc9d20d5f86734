//! Blocks that are given up to get on after a loss.

/// Which blocks are given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Given {
    /// Those on the way to a result.
    Intermediate,
    /// Results too.
    All,
}

/// How far the core has gone since the last loss. Each step is worse than the one before, and there are two.
#[derive(Default)]
pub(super) struct Sacrifice {
    last: Option<Given>,
    times: u32,
}

impl Sacrifice {
    /// A new loss: the steps begin anew.
    pub fn begin_anew(&mut self) {
        self.last = None;
    }

    /// The next step; none if there is nothing left to give.
    pub fn next(&mut self) -> Option<Given> {
        let next = match self.last {
            None => Given::Intermediate,
            Some(Given::Intermediate) => Given::All,
            Some(Given::All) => return None,
        };
        self.last = Some(next);
        self.times += 1;
        Some(next)
    }

    /// Steps in all.
    pub fn times(&self) -> u32 {
        self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_given_up_last_and_each_loss_begins_anew() {
        let mut sacrifice = Sacrifice::default();
        let both = [Some(Given::Intermediate), Some(Given::All), None];
        assert_eq!([sacrifice.next(), sacrifice.next(), sacrifice.next()], both);
        assert_eq!(sacrifice.times(), 2);
        sacrifice.begin_anew();
        assert_eq!([sacrifice.next(), sacrifice.next(), sacrifice.next()], both);
        assert_eq!(sacrifice.times(), 4);
    }
}

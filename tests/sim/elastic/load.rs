//! What there is to compute: runs of stages that are wide or narrow, and when each is asked for.

use crate::sim::rng::Rng;
use dolmen::array::Element;
use dolmen::graph::{Blocks, Kind, Order, Pattern, Pick, Program, Read, Space, Stage, Work};
use dolmen::ids::StageId;
use std::sync::Arc;

/// What the core believes that a core does, until it has measured.
const FLOPS_PER_SECOND: f64 = 2e10;
/// The first guess of a stage is wrong by a factor between the inverse of this and this.
const WRONG_BY: f64 = 1.4;

/// When a run is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    At(f64),
    /// So many seconds after the run before it was done.
    After(f64),
}

/// So many turns of so many tasks, each of which takes so many seconds.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    pub tasks: u32,
    pub turns: u32,
    pub seconds: f64,
}

#[derive(Clone, Debug)]
pub struct RunOf {
    pub program: Arc<Program>,
    /// Seconds of a task, by stage.
    pub seconds: Vec<f64>,
    /// How wide each level is, and which of them a stage belongs to.
    pub widths: Vec<Width>,
    pub level_of: Vec<usize>,
    pub asked: Asked,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// One run: wide, narrow, wide, narrow, wide.
    Steps,
    /// One run whose stages become wider, and narrower again.
    Ramp,
    /// Runs that come when they like, some while another goes on.
    Bursts,
    /// A session: each run is asked for a while after the one before.
    Session,
}

impl Load {
    pub const ALL: [Load; 4] = [Load::Steps, Load::Ramp, Load::Bursts, Load::Session];

    pub fn name(self) -> &'static str {
        match self {
            Load::Steps => "steps",
            Load::Ramp => "ramp",
            Load::Bursts => "bursts",
            Load::Session => "session",
        }
    }

    pub fn runs(self, seed: u64) -> Vec<RunOf> {
        let wide = |tasks| Width { tasks, turns: 1, seconds: 10.0 };
        let narrow = |turns| Width { tasks: 1, turns, seconds: 10.0 };
        let level = |tasks| Width { tasks, turns: 6, seconds: 10.0 };
        match self {
            Load::Steps => {
                let widths = [wide(1024), narrow(60), wide(1024), narrow(30), wide(512)];
                vec![run(seed, &widths, Asked::At(0.0))]
            }
            Load::Ramp => {
                let widths = [4, 16, 64, 128, 64, 16, 4].map(level);
                vec![run(seed, &widths, Asked::At(0.0))]
            }
            Load::Bursts => {
                let widths = [wide(512), narrow(3)];
                [0.0, 90.0, 1500.0, 1530.0, 5000.0].map(|at| run(seed, &widths, Asked::At(at))).to_vec()
            }
            Load::Session => {
                let widths = [wide(768), narrow(3)];
                [0.0, 20.0, 30.0, 10.0].map(|pause| run(seed, &widths, Asked::After(pause))).to_vec()
            }
        }
    }
}

/// Seconds of a task that only waits for others.
const JOINS: f64 = 0.01;
/// What a task makes. It is lost with its worker, until all of its level is done.
const BLOCK: Blocks = Blocks::Each { rows: 1, cols: 1 };

/// A program in the making.
struct Stages {
    rng: Rng,
    stages: Vec<Stage>,
    seconds: Vec<f64>,
    level_of: Vec<usize>,
}

fn run(seed: u64, widths: &[Width], asked: Asked) -> RunOf {
    let mut made =
        Stages { rng: Rng::new(seed), stages: Vec::new(), seconds: Vec::new(), level_of: Vec::new() };
    for (level, width) in widths.iter().enumerate() {
        made.level(*width, level + 1 == widths.len());
        made.level_of.resize(made.stages.len(), level);
    }
    let Stages { stages, seconds, level_of, .. } = made;
    let program = Arc::new(Program::new(stages));
    RunOf { program, seconds, widths: widths.to_vec(), level_of, asked }
}

impl Stages {
    /// All tasks of a turn begin when those of the turn before are done.
    fn level(&mut self, width: Width, is_last: bool) {
        if width.tasks == 1 {
            return self.chain(width, is_last);
        }
        for turn in 0..width.turns {
            let before = self.read_last(Pattern::Block(Pick::Zero, Pick::Zero));
            self.push(
                Space::new(width.tasks, 1, 1, Order::Rows),
                BLOCK,
                width.seconds,
                Vec::from_iter(before),
            );
            if !is_last || turn + 1 < width.turns {
                self.join(width.tasks);
            }
        }
    }

    fn chain(&mut self, width: Width, is_last: bool) {
        let before = self.read_last(Pattern::Block(Pick::Zero, Pick::Zero));
        let itself = Read { source: StageId(self.stages.len() as u32), pattern: Pattern::Previous };
        let reads = before.into_iter().chain([itself]).collect();
        self.push(Space::new(1, 1, width.turns, Order::Rows), BLOCK, width.seconds, reads);
        if !is_last {
            let end = self.read_last(Pattern::Block(Pick::Zero, Pick::Zero));
            self.push(Space::new(1, 1, 1, Order::Rows), Blocks::Nothing, JOINS, Vec::from_iter(end));
        }
    }

    /// Waits for all of them, and leaves nothing that would have to be carried anywhere.
    fn join(&mut self, tasks: u32) {
        let all = self.read_last(Pattern::Gather { fan: tasks });
        self.push(Space::new(1, 1, 1, Order::Rows), Blocks::Nothing, JOINS, Vec::from_iter(all));
    }

    fn read_last(&self, pattern: Pattern) -> Option<Read> {
        let last = self.stages.len().checked_sub(1)?;
        Some(Read { source: StageId(last as u32), pattern })
    }

    fn push(&mut self, space: Space, blocks: Blocks, seconds: f64, reads: Vec<Read>) {
        let guess = WRONG_BY.powf(self.rng.below(2001) as f64 / 1000.0 - 1.0);
        self.stages.push(Stage {
            kind: Kind::Null,
            space,
            blocks,
            element: Element::F64,
            reads,
            keep: false,
            lockstep: false,
            work: Work { flops: seconds * guess * FLOPS_PER_SECOND, workspace: 0 },
        });
        self.seconds.push(seconds);
    }
}

//! Programs on a cluster.

use super::engine::Cluster;
use super::error::Error;
use super::run::Ran;
use super::runtime::Session;
use super::stats::{Spilled, Stats};
use crate::actors::Stalls;
use crate::array::InputId;
use crate::data::Sink;
use crate::exec::Bindings;
use crate::graph::Program;
use crate::net::{KeptRun, OwnPart, RunError, RunStanding, draw};
use crate::protocol::{Ended, Figures, NotShared, RunSpec};
use crate::sched::Threads;
use crate::store::{Budget, SpillPlace, default_spill_folder};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// What no worker can open.
#[derive(Default)]
struct Unshared {
    inputs: BTreeSet<InputId>,
    /// Numbers of outputs.
    outputs: BTreeSet<u32>,
}

impl Session {
    /// Has a cluster run a program, and waits for it. What workers cannot open is read and written by this process.
    pub(super) fn execute_there(
        &self,
        cluster: &Cluster,
        program: &Arc<Program>,
        bindings: Bindings,
    ) -> Result<Ran, Error> {
        let bindings = Arc::new(bindings);
        let mut unshared = Unshared::of(&bindings);
        let mut drawn = draw();
        let mut kept = None;
        loop {
            let began = Instant::now();
            let progress = self.progress();
            let tell = |standing| match standing {
                RunStanding::Waits { before } => progress.wait_behind(before),
                RunStanding::Goes { done, total } => progress.set(done as usize, total as usize),
            };
            let spec = unshared.run_spec(program, &bindings, self.options().sync_results, drawn);
            let own = unshared.part(self, &bindings, kept.take())?;
            match cluster.client().run(program, spec, own, tell) {
                Ok(end) => {
                    progress.set(program.tasks(), program.tasks());
                    let seconds = began.elapsed().as_secs_f64() - end.ended.waited;
                    let workers = self.workers();
                    let stats = Stats { seconds, workers, ..stats(program, &end.ended) };
                    return Ok(Ran { blocks: end.blocks, stats });
                }
                // Nobody has done anything yet. It is another run that is submitted now.
                Err(RunError::NotShared { not_shared, .. }) if unshared.learns(&not_shared) => drawn = draw(),
                // The run goes on with what the workers and this process hold of it.
                Err(RunError::SchedulerLost { failure, grace, kept: of_part }) => {
                    kept = of_part.map(|kept| *kept);
                    cluster.begin_again(&failure, grace)?;
                }
                Err(RunError::NotShared { failure, .. } | RunError::Failed(failure)) => {
                    return Err(failure.into());
                }
            }
        }
    }
}

impl Unshared {
    /// What has no name that means anything elsewhere.
    fn of(bindings: &Bindings) -> Unshared {
        let inputs = bindings.inputs.iter().filter(|(_, source)| source.spec().is_none());
        let outputs = (0..).zip(&bindings.outputs).filter(|(_, sink)| sink.spec().is_none());
        Unshared {
            inputs: inputs.map(|(id, _)| *id).collect(),
            outputs: outputs.map(|(number, _)| number).collect(),
        }
    }

    /// Counts in what a worker could not open. True if something is new.
    fn learns(&mut self, not_shared: &NotShared) -> bool {
        let before = self.inputs.len() + self.outputs.len();
        self.inputs.extend(&not_shared.inputs);
        self.outputs.extend(&not_shared.outputs);
        self.inputs.len() + self.outputs.len() > before
    }

    /// What is to be done, by names that mean the same everywhere.
    fn run_spec(&self, program: &Program, bindings: &Bindings, sync: bool, drawn: u64) -> RunSpec {
        let shared = bindings.inputs.iter().filter(|(id, _)| !self.inputs.contains(id));
        let inputs = shared.filter_map(|(id, source)| Some((*id, source.spec()?))).collect();
        let output = |(number, sink): (u32, &Arc<dyn Sink>)| {
            if self.outputs.contains(&number) { None } else { sink.spec() }
        };
        let outputs = (0..).zip(&bindings.outputs).map(output).collect();
        RunSpec { stages: program.stages().to_vec(), inputs, outputs, sync, own: None, drawn }
    }

    /// This process's part, if it has one. It goes on with what was `kept` of it.
    fn part(
        &self,
        session: &Session,
        bindings: &Arc<Bindings>,
        kept: Option<KeptRun>,
    ) -> Result<Option<OwnPart>, Error> {
        if self.inputs.is_empty() && self.outputs.is_empty() {
            return Ok(None);
        }
        let options = session.options();
        let threads = Threads { compute: 0, io: 0 };
        let budget =
            Budget::new(options.memory, threads).map_err(|error| Error::Request(error.to_string()))?;
        let folder = options.spill_folder.clone().unwrap_or_else(default_spill_folder);
        Ok(Some(OwnPart {
            bindings: bindings.clone(),
            inputs: self.inputs.iter().copied().collect(),
            outputs: self.outputs.iter().copied().collect(),
            budget: budget.bytes,
            spill: SpillPlace::new(folder, options.spill_limit),
            depth: session.depth(),
            kept,
        }))
    }
}

/// The figures of all workers together.
fn stats(program: &Program, ended: &Ended) -> Stats {
    let mut stats = Stats {
        tasks: program.tasks() as u64,
        flops: program.flops(),
        recomputed: ended.recomputed,
        taken_up: ended.taken_up,
        ..Stats::default()
    };
    for worker in &ended.workers {
        add(&mut stats, &worker.figures);
        stats.memory_bound = stats.memory_bound.max(worker.bound);
    }
    stats
}

/// Sums, but for what is each process's own: there the largest counts.
fn add(stats: &mut Stats, figures: &Figures) {
    stats.bytes_read += figures.bytes_read;
    stats.bytes_written += figures.bytes_written;
    stats.bytes_network += figures.bytes_received;
    stats.bytes_network_saved += figures.bytes_saved;
    stats.peak_memory = stats.peak_memory.max(figures.peak_memory);
    stats.most_buffers = stats.most_buffers.max(figures.most_buffers);
    stats.io_in_flight = stats.io_in_flight.max(figures.io_in_flight);
    stats.io_tasks_most = stats.io_tasks_most.max(figures.io_tasks_most);
    stats.spilled.add(&Spilled {
        bytes: figures.spilled,
        raw_bytes: figures.spilled_raw,
        read_back_bytes: figures.read_back,
        peak_bytes: figures.peak_spilled,
    });
    let [read, load, spill, write, tasks] = figures.stalls;
    stats.stalls = stats.stalls.plus(Stalls { read, load, spill, write, tasks });
}

//! Programs on a cluster.

use super::engine::Cluster;
use super::error::Error;
use super::run::Ran;
use super::runtime::Session;
use super::stats::{Spilled, Stats};
use crate::actors::Stalls;
use crate::exec::Bindings;
use crate::graph::Program;
use crate::protocol::{Ended, Figures, RunSpec};
use std::sync::Arc;
use std::time::Instant;

impl Session {
    /// Has a cluster run a program, and waits for it.
    pub(super) fn execute_there(
        &self,
        cluster: &Cluster,
        program: &Arc<Program>,
        bindings: &Bindings,
    ) -> Result<Ran, Error> {
        let began = Instant::now();
        let spec = run_spec(program, bindings, self.options().sync_results)?;
        let progress = self.progress();
        let tell = |done: u64, total: u64| progress.set(done as usize, total as usize);
        let end = cluster.client.run(program, spec, tell)?;
        progress.set(program.tasks(), program.tasks());
        let seconds = began.elapsed().as_secs_f64() - end.ended.waited;
        let stats = Stats { seconds, ..stats(program, &end.ended) };
        Ok(Ran { blocks: end.blocks, stats })
    }
}

/// What is to be done, by names that mean the same everywhere.
fn run_spec(program: &Program, bindings: &Bindings, sync: bool) -> Result<RunSpec, Error> {
    let mut inputs = Vec::new();
    for (id, source) in &bindings.inputs {
        let only_here = || {
            Error::Request(
                "an input is in the memory of this process, where workers cannot read it: write it to a file first"
                    .into(),
            )
        };
        inputs.push((*id, source.spec().ok_or_else(only_here)?));
    }
    let mut outputs = Vec::new();
    for sink in &bindings.outputs {
        let only_here = || Error::Run("an output is only in this process".into());
        outputs.push(sink.spec().ok_or_else(only_here)?);
    }
    Ok(RunSpec { stages: program.stages().to_vec(), inputs, outputs, sync })
}

/// The figures of all workers together.
fn stats(program: &Program, ended: &Ended) -> Stats {
    let mut stats = Stats {
        tasks: program.tasks() as u64,
        flops: program.flops(),
        recomputed: ended.recomputed,
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
    stats.peak_memory = stats.peak_memory.max(figures.peak_memory);
    stats.most_buffers = stats.most_buffers.max(figures.most_buffers);
    stats.io_in_flight = stats.io_in_flight.max(figures.io_in_flight);
    stats.spilled.add(&Spilled {
        bytes: figures.spilled,
        raw_bytes: figures.spilled_raw,
        read_back_bytes: figures.read_back,
        peak_bytes: figures.peak_spilled,
    });
    let [read, load, spill, write, tasks] = figures.stalls;
    stats.stalls = stats.stalls.plus(Stalls { read, load, spill, write, tasks });
}

//! Programs through the actors, and what comes of them.

use super::bound::Inputs;
use super::engine::{Engine, LocalActors};
use super::error::Error;
use super::operation::{Named, Operation};
use super::planned::{Planned, Target};
use super::prepare::Ready;
use super::randomized::care_for;
use super::recipe::{Care, Piece, Spread};
use super::results::{Results, assemble};
use super::runtime::{Session, lock};
use super::stats::{Spilled, Stats};
use crate::actors::{RunOutcome, Submit};
use crate::data::Sink;
use crate::exec::{self, Bindings};
use crate::failure::Failure;
use crate::files::{Format, NpyOutput, Outputs, ZarrOutput};
use crate::graph::{Delayed, Graph, Program};
use crate::ids::{BlockId, RunId, StageId, TaskId};
use crate::sched::{Core, Plan};
use crate::store::Block;
use futures_channel::oneshot;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What a run has left.
pub(super) struct Ran {
    /// The blocks of the stages that are kept.
    pub blocks: HashMap<BlockId, Arc<Block>>,
    pub stats: Stats,
}

/// What a run of an operation gives, and the care that its spectrum asks for.
struct Attempt {
    results: Results,
    wanted: Care,
}

impl Session {
    /// Runs an operation; its results come as matrices in memory.
    pub fn run(&self, operation: &Operation) -> Result<Results, Error> {
        self.run_planned(self.plan(operation, Target::Memory)?)
    }

    /// Runs an operation with its results written to files, one path for each result: Zarr arrays in chunks of the
    /// run's blocks where the name ends in `.zarr`, files where it ends in `.npy`. They appear under their names only
    /// when all are whole.
    pub fn run_to_files(&self, operation: &Operation, paths: &[PathBuf]) -> Result<Stats, Error> {
        let planned = self.plan(operation, Target::Files(paths.to_vec()))?;
        Ok(self.run_planned(planned)?.stats)
    }

    /// Runs what this session has planned.
    pub fn run_planned(&self, planned: Planned) -> Result<Results, Error> {
        if planned.session != self.id() {
            return Err(Error::Request("the plan is another session's: plan it in this one".into()));
        }
        let Target::Files(paths) = &planned.target else { return self.run_checked(planned, &[]) };
        let outputs = Outputs::new();
        let files = self.create(&planned, paths, &outputs)?;
        let results = self.run_checked(planned, &files)?;
        if self.options().sync_results {
            outputs.sync()?;
        }
        outputs.commit()?;
        Ok(results)
    }

    /// The paths of an operation's results in a directory: `u.npy`, `s.npy`, …
    pub fn paths_in(operation: &Operation, directory: &Path, format: Format) -> Result<Vec<PathBuf>, Error> {
        let ending = format.extension();
        let path = |(name, _): Named| directory.join(format!("{name}.{ending}"));
        Ok(operation.result_shapes()?.into_iter().map(path).collect())
    }

    /// The files of the results, partial until they are committed.
    fn create(
        &self,
        planned: &Planned,
        paths: &[PathBuf],
        outputs: &Outputs,
    ) -> Result<Vec<Arc<dyn Sink>>, Error> {
        let element = planned.operation.element()?;
        let mut files: Vec<Arc<dyn Sink>> = Vec::new();
        let results = planned.operation.result_shapes()?.into_iter().zip(paths);
        for (number, ((name, (rows, cols)), path)) in results.enumerate() {
            let cols = (name != "s").then_some(cols);
            files.push(match Format::of(path)? {
                Format::Npy => outputs.add(NpyOutput::create(path, rows, cols, element, self.depth())?),
                Format::Zarr => {
                    let chunk = planned.ready.written_blocks(number);
                    outputs.add(ZarrOutput::create(path, rows, cols, chunk, element, self.depth())?)
                }
            });
        }
        Ok(files)
    }

    /// Runs it; an input that is no longer what it was when it was opened is an error.
    fn run_checked(&self, planned: Planned, files: &[Arc<dyn Sink>]) -> Result<Results, Error> {
        let inputs = planned.inputs.clone();
        let results = self.run_with_care(planned, files)?;
        inputs.values().try_for_each(|input| input.check_unchanged())?;
        Ok(results)
    }

    /// Runs it, and once more if its spectrum asks for more care than the first run took.
    fn run_with_care(&self, planned: Planned, files: &[Arc<dyn Sink>]) -> Result<Results, Error> {
        let Planned { operation, target, inputs, ready, .. } = planned;
        let (wanted, first) = match self.run_once(&operation, &inputs, ready, files, Care::default()) {
            Ok(attempt) if attempt.wanted == Care::default() => return Ok(attempt.results),
            Ok(attempt) => (attempt.wanted, attempt.results.stats),
            Err(Error::Overflow(_)) if matches!(operation, Operation::Rsvd { .. }) => {
                (Care::MOST, Stats::default())
            }
            Err(error) => return Err(error),
        };
        let ready = self.ready(&operation, &inputs, &target.formats()?, wanted)?;
        let mut results = self.run_once(&operation, &inputs, ready, files, wanted)?.results;
        results.stats.add(&first);
        *lock(&self.record().last) = results.stats;
        Ok(results)
    }

    /// Runs the operation once; also tells what care its spectrum asks for.
    fn run_once(
        &self,
        operation: &Operation,
        inputs: &Inputs,
        ready: Ready,
        files: &[Arc<dyn Sink>],
        care: Care,
    ) -> Result<Attempt, Error> {
        let bindings = self.bindings(inputs.clone(), files.to_vec());
        let Ready { program, results: pieces, spreads, plan, blocks, .. } = ready;
        let ran = self.execute(&program, bindings, &plan, blocks)?;
        let mut wanted = care;
        for Spread { triangle, squared } in spreads.into_iter().filter(|_| care == Care::default()) {
            let shape = (triangle.grid.rows.len(), triangle.grid.cols.len());
            let piece = Piece { result: 0, place: (0, 0), access: triangle };
            let element = program.stage(triangle.stage).element;
            let r = assemble(&program, shape, element, &[piece], &ran.blocks)?;
            wanted = care_for(&r, squared, wanted);
        }
        if wanted != care {
            return Ok(Attempt { results: Results { named: Vec::new(), stats: ran.stats }, wanted });
        }
        let named = if files.is_empty() { matrices(operation, &program, pieces, &ran)? } else { Vec::new() };
        Ok(Attempt { results: Results { named, stats: ran.stats }, wanted: Care::default() })
    }

    /// Runs a graph wired by hand and returns the value of one of its calls.
    pub fn run_graph<V: DeserializeOwned>(&self, graph: &Graph, result: Delayed) -> Result<V, Error> {
        graph.check(result).map_err(|e| Error::Request(e.to_string()))?;
        let bindings = self.bindings(Inputs::new(), Vec::new());
        if let Some(name) = bindings.functions.missing(graph).first() {
            return Err(Error::Request(format!("function {name:?} is not registered in this session")));
        }
        let mut program = graph.program();
        exec::annotate(&mut program, &bindings);
        let plan = self.planner()?.fit(&program).map_err(|e| Error::Request(format!("the graph {e}")))?;
        let ran = self.execute(&Arc::new(program), bindings, &plan, (0, 0))?;
        let block = ran.blocks.get(&TaskId::new(StageId(0), result.index()));
        let block = block.ok_or_else(|| Error::Run("the result of the graph is missing".into()))?;
        Ok(exec::value(block)?)
    }

    /// Runs a program as it is: for benchmarks of the scheduler.
    pub fn run_program(&self, program: Program) -> Result<Stats, Error> {
        let plan = self.planner()?.fit(&program).map_err(|e| Error::Request(format!("the program {e}")))?;
        let bindings = self.bindings(Inputs::new(), Vec::new());
        Ok(self.execute(&Arc::new(program), bindings, &plan, (0, 0))?.stats)
    }

    /// Has the engine run a program, and waits for it. Its figures are also those of the session's last run.
    fn execute(
        &self,
        program: &Arc<Program>,
        bindings: Bindings,
        plan: &Plan,
        blocks: (u64, u64),
    ) -> Result<Ran, Error> {
        let mut ran = match self.engine() {
            Engine::Here(here) => self.execute_here(here, program, bindings, plan)?,
            Engine::Cluster(cluster) => self.execute_there(cluster, program, bindings)?,
        };
        ran.stats.blocks = blocks;
        *lock(&self.record().last) = ran.stats;
        Ok(ran)
    }

    fn execute_here(
        &self,
        here: &LocalActors,
        program: &Arc<Program>,
        bindings: Bindings,
        plan: &Plan,
    ) -> Result<Ran, Error> {
        let began = Instant::now();
        let id = RunId(self.next_run());
        let bindings = Arc::new(bindings);
        let spill = plan.spill.map(|_| here.spill.begin(id));
        let (reply, answer) = oneshot::channel();
        let submit = Submit {
            id,
            core: Core::planned(program.clone(), plan),
            program: program.clone(),
            bindings: bindings.clone(),
            plan: *plan,
            spill: spill.clone(),
            progress: self.progress(),
            submitted: Instant::now(),
            reply,
        };
        // `do_send`: nothing else fills the scheduler's mailbox so far that it could refuse.
        here.scheduler.do_send(submit);
        let answer = futures_executor::block_on(answer).unwrap_or_else(|_| Err(broken()));
        let spilled = spill.map_or_else(Spilled::default, |files| files.end().into());
        let RunOutcome {
            blocks: kept,
            recomputed,
            memory,
            stalls,
            io_in_flight,
            io_tasks_most,
            waited,
            most_workers,
        } = answer?;
        let (bytes_read, bytes_written) = bindings.traffic.bytes();
        let stats = Stats {
            seconds: began.elapsed().saturating_sub(waited).as_secs_f64(),
            tasks: program.tasks() as u64,
            workers: most_workers,
            flops: program.flops(),
            bytes_read,
            bytes_written,
            peak_memory: memory.peak,
            memory_bound: plan.bound(),
            most_buffers: memory.most_buffers,
            recomputed,
            spilled,
            stalls,
            io_in_flight,
            io_tasks_most,
            ..Stats::default()
        };
        Ok(Ran { blocks: kept, stats })
    }
}

/// The results of an operation by their names.
fn matrices(
    operation: &Operation,
    program: &Program,
    mut pieces: Vec<Piece>,
    ran: &Ran,
) -> Result<Vec<(&'static str, crate::data::Matrix)>, Error> {
    let element = operation.element()?;
    let mut named = Vec::new();
    for (number, (name, shape)) in operation.result_shapes()?.into_iter().enumerate() {
        let (of_this, others) = pieces.into_iter().partition(|piece| piece.result == number);
        pieces = others;
        named.push((name, assemble(program, shape, element, &of_this, &ran.blocks)?));
    }
    Ok(named)
}

fn broken() -> Failure {
    Failure::of_run("the scheduler ended before the run")
}

#[cfg(test)]
mod tests {
    use super::super::prepare::PREPARED;
    use super::*;
    use crate::array::{Array, Element};

    /// A command used to be planned three times: to be shown, for the files, and to be run.
    #[test]
    fn what_is_shown_and_run_is_planned_once() {
        let session = Session::builder().threads(1).memory(16 << 20).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let x = Array::normal(50, 50, 1, Element::F64);
        let operation = Operation::Compute(&x + &x.t());
        PREPARED.set(0);
        let planned = session.plan(&operation, Target::Files(vec![folder.path().join("a.npy")])).unwrap();
        let shown = planned.preview().unwrap();
        let stats = session.run_planned(planned).unwrap().stats;
        assert_eq!((PREPARED.get(), shown.tasks, shown.memory_bound), (1, stats.tasks, stats.memory_bound));
        session.run_to_files(&operation, &[folder.path().join("b.npy")]).unwrap();
        assert_eq!(PREPARED.get(), 2);
        session.run(&operation).unwrap();
        assert_eq!(PREPARED.get(), 3);
    }

    #[test]
    fn a_plan_is_run_where_it_was_made() {
        let here = Session::builder().threads(1).memory(16 << 20).build().unwrap();
        let there = Session::builder().threads(1).memory(16 << 20).build().unwrap();
        let operation = Operation::Compute(Array::normal(5, 5, 1, Element::F64));
        let planned = here.plan(&operation, Target::Memory).unwrap();
        assert!(matches!(there.run_planned(planned), Err(Error::Request(_))));
    }
}
